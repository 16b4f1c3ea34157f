/*
 * The switch of stacks for 64-bit Arm, AAPCS64.
 *
 * A suspended stack ends, from its lowest address on, with x19 to x30, d8 to d15 and the control
 * register of the floating point unit, which is loaded only where it differs; all ones there is a
 * new stack's, which begins with whatever is set. x30, the link register, is where to go on.
 */
#if defined(__aarch64__) && !defined(RILL_SWITCH_UCONTEXT)

#define FRAME 176

    .text

/* int rill__switch(void **save, void *to, int value) */
    .globl rill__switch
    .hidden rill__switch
    .type rill__switch, %function
    .p2align 4
rill__switch:
    .cfi_startproc
    hint #34 /* bti c */
    sub sp, sp, #FRAME
    .cfi_adjust_cfa_offset FRAME
    stp x29, x30, [sp, #0]
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp x19, x20, [sp, #16]
    .cfi_rel_offset x19, 16
    .cfi_rel_offset x20, 24
    stp x21, x22, [sp, #32]
    .cfi_rel_offset x21, 32
    .cfi_rel_offset x22, 40
    stp x23, x24, [sp, #48]
    .cfi_rel_offset x23, 48
    .cfi_rel_offset x24, 56
    stp x25, x26, [sp, #64]
    .cfi_rel_offset x25, 64
    .cfi_rel_offset x26, 72
    stp x27, x28, [sp, #80]
    .cfi_rel_offset x27, 80
    .cfi_rel_offset x28, 88
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mrs x9, fpcr
    str x9, [sp, #160]
    mov x10, sp
    str x10, [x0]
    mov sp, x1 /* The other stack looks the same from here on. */
    ldr x11, [sp, #160]
    cmp x9, x11
    b.eq 1f
    cmn x11, #1
    b.eq 1f
    msr fpcr, x11
1:  ldp d14, d15, [sp, #144]
    ldp d12, d13, [sp, #128]
    ldp d10, d11, [sp, #112]
    ldp d8, d9, [sp, #96]
    ldp x27, x28, [sp, #80]
    ldp x25, x26, [sp, #64]
    ldp x23, x24, [sp, #48]
    ldp x21, x22, [sp, #32]
    ldp x19, x20, [sp, #16]
    ldp x29, x30, [sp, #0]
    mov w0, w2
    add sp, sp, #FRAME
    .cfi_def_cfa_offset 0
    ret
    .cfi_endproc
    .size rill__switch, . - rill__switch

/* Where a new stack begins: the function to call is in x19, its argument in x20. */
    .globl rill__switch_start
    .hidden rill__switch_start
    .type rill__switch_start, %function
    .p2align 4
rill__switch_start:
    .cfi_startproc
    .cfi_undefined x30
    hint #36 /* bti j */
    mov x0, x20
    blr x19
    brk #1
    .cfi_endproc
    .size rill__switch_start, . - rill__switch_start

#endif

    .section .note.GNU-stack, "", %progbits

/*
 * The switch of stacks for x86-64, System V ABI.
 *
 * A suspended stack ends, from its lowest address on, with MXCSR and the x87 control word, r15 to
 * r12, rbx, rbp and the address to go on at. The jump to that address is no `ret`, which the
 * processor would predict from the stack that was left, wrong each time. MXCSR also has sticky
 * status bits, which the ABI lets calls change; loading it because of them alone would cost fifteen
 * times the whole switch, so only differing control bits are loaded. A new stack has an x87 control
 * word of 0, which no processor has: it begins with whatever is set.
 */
#if defined(__x86_64__) && !defined(RILL_SWITCH_UCONTEXT)

#define CONTROL_BITS 0xffc0

    .text

/* int rill__switch(void **save, void *to, int value) */
    .globl rill__switch
    .hidden rill__switch
    .type rill__switch, @function
    .p2align 4
rill__switch:
    .cfi_startproc
    endbr64
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbx, 0
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r13, 0
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r14, 0
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r15, 0
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movl (%rsp), %eax
    movzwl 4(%rsp), %ecx
    movq %rsp, (%rdi)
    .cfi_remember_state
    movq %rsi, %rsp /* The other stack looks the same from here on. */
    xorl (%rsp), %eax
    testl $CONTROL_BITS, %eax
    jnz 2f
1:  cmpw 4(%rsp), %cx
    jne 3f
4:  addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore r15
    popq %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore r14
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbx
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbp
    movl %edx, %eax
    popq %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register rip, rcx
    notrack jmp *%rcx
    .cfi_restore_state
2:  cmpw $0, 4(%rsp)
    je 4b
    ldmxcsr (%rsp)
    jmp 1b
3:  cmpw $0, 4(%rsp)
    je 4b
    fldcw 4(%rsp)
    jmp 4b
    .cfi_endproc
    .size rill__switch, . - rill__switch

/* Where a new stack begins: the function to call is in rbx, its argument in r12. */
    .globl rill__switch_start
    .hidden rill__switch_start
    .type rill__switch_start, @function
    .p2align 4
rill__switch_start:
    .cfi_startproc
    .cfi_undefined rip
    endbr64
    movq %r12, %rdi
    callq *%rbx
    ud2
    .cfi_endproc
    .size rill__switch_start, . - rill__switch_start

/* Indirect branch tracking is kept to; a shadow stack is not switched, so none is asked for. */
    .section .note.gnu.property, "a"
    .p2align 3
    .long 4
    .long 16
    .long 5
    .asciz "GNU"
    .long 0xc0000002
    .long 4
    .long 1
    .long 0

#endif

    .section .note.GNU-stack, "", @progbits

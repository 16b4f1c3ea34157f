"""gdb commands for programs that use rill's tasks.

    (gdb) source rill.py
    (gdb) rill tasks          who there is, and what each waits for
    (gdb) rill bt 3           the stack of a suspended task
    (gdb) rill bt fetch       the same by its name

They work in a live process and on a core file, for the loop that runs in the selected thread, or for
the one that an expression at the end names ("rill tasks my_loop"). The library needs debug symbols.
"""

import gdb
import gdb.unwinder

# Where rill__switch left a task's registers: offsets from its stack pointer.
SAVED = {
    "x86_64": {"r15": 8, "r14": 16, "r13": 24, "r12": 32, "rbx": 40, "rbp": 48, "rip": 56},
    "aarch64": {
        "x29": 0, "pc": 8, "x19": 16, "x20": 24, "x21": 32, "x22": 40, "x23": 48,
        "x24": 56, "x25": 64, "x26": 72, "x27": 80, "x28": 88,
    },
}
STACK_POINTER = {"x86_64": ("rsp", 64), "aarch64": ("sp", 176)}


def field_offset(type_name, field):
    for candidate in gdb.lookup_type(type_name).fields():
        if candidate.name == field:
            return candidate.bitpos // 8
    raise gdb.GdbError(f"{type_name} has no {field}: is the library another version?")


def loop_of(expression):
    loop = gdb.parse_and_eval(expression or "rill__running")
    if int(loop) == 0:
        raise gdb.GdbError("no loop runs in this thread: select another one, or name the loop")
    return loop.cast(gdb.lookup_type("struct rill_loop").pointer()).dereference()


def tasks_of(loop):
    """Every task of the loop that has not ended, oldest first."""
    kind = int(gdb.parse_and_eval("(int)RILL__OBJECT_TASK"))
    head = loop["objects"][kind]
    task_type = gdb.lookup_type("struct rill_task")
    offset = field_offset("struct rill_task", "object")
    link = head["next"]
    while int(link) != int(head.address):
        yield gdb.Value(int(link) - offset).cast(task_type.pointer()).dereference()
        link = link.dereference()["next"]


def text_of(pointer, default=""):
    return pointer.string() if int(pointer) != 0 else default


def name_of(task):
    return text_of(task["name"], f"task-{int(task['id'])}")


def state_of(loop, task):
    fiber = task["fiber"]
    if int(fiber) == int(loop["fiber"]):
        return "runs"
    wait = fiber["wait"]
    if int(wait) == 0:
        return "is ready"
    where = text_of(wait["site"])
    return f"waits in {text_of(wait['what'])}" + (f", made at {where}" if where else "")


class Suspended(gdb.unwinder.Unwinder):
    """Has the outermost frame of the selected thread continue in a suspended task."""

    def __init__(self):
        super().__init__("rill suspended task")
        self.stack_pointer = 0

    def __call__(self, pending):
        if self.stack_pointer == 0:
            return None
        sp, self.stack_pointer = self.stack_pointer, 0  # For the first frame alone.
        arch = "aarch64" if "aarch64" in pending.architecture().name() else "x86_64"
        register, size = STACK_POINTER[arch]
        word = gdb.lookup_type("unsigned long")

        class FrameId:
            def __init__(self):
                self.sp = gdb.Value(sp).cast(word)
                self.pc = pending.read_register("pc")

        info = pending.create_unwind_info(FrameId())
        for name, offset in SAVED[arch].items():
            saved = gdb.Value(sp + offset).cast(word.pointer()).dereference()
            info.add_saved_register(name, saved)
        info.add_saved_register(register, gdb.Value(sp + size).cast(word))
        return info


suspended = Suspended()
gdb.unwinder.register_unwinder(None, suspended, replace=True)


class Rill(gdb.Command):
    """Tasks of rill: "rill tasks [LOOP]", "rill bt ID-OR-NAME [LOOP]"."""

    def __init__(self):
        super().__init__("rill", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if len(words) in (1, 2) and words[0] == "tasks":
            self.tasks(loop_of(words[1] if len(words) == 2 else None))
        elif len(words) in (2, 3) and words[0] == "bt":
            self.backtrace(words[1], loop_of(words[2] if len(words) == 3 else None))
        else:
            raise gdb.GdbError(self.__doc__)

    def tasks(self, loop):
        for task in tasks_of(loop):
            print(f"{int(task['id']):>6}  {name_of(task)}  {state_of(loop, task)}; made at "
                  f"{text_of(task['future']['site'])}")

    def backtrace(self, which, loop):
        for task in tasks_of(loop):
            if which not in (str(int(task["id"])), name_of(task)):
                continue
            if int(task["fiber"]) == int(loop["fiber"]):
                raise gdb.GdbError("it runs: see bt")
            suspended.stack_pointer = int(task["fiber"]["coro"]["sp"])
            gdb.invalidate_cached_frames()
            try:
                print(f"task {name_of(task)}:")
                frame = gdb.newest_frame().older()
                level = 0
                while frame is not None and frame.is_valid():
                    line = frame.find_sal()
                    where = f" at {line.symtab.filename}:{line.line}" if line.symtab else ""
                    print(f"#{level}  {frame.name() or '??'}{where}")
                    frame = frame.older()
                    level += 1
            finally:
                suspended.stack_pointer = 0
                gdb.invalidate_cached_frames()
            return
        raise gdb.GdbError(f"there is no task {which}")


Rill()

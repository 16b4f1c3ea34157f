"""What tasks cost in Python's asyncio: the names and units of bench/tasks/rill.c."""

import asyncio
import time


async def measure_yield(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def measure_yield_1000(count):
    async with asyncio.TaskGroup() as group:
        for _ in range(1000):
            group.create_task(measure_yield(count // 1000))


async def measure_await_ready(count):
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    for _ in range(count):
        await future


async def nothing():
    pass


async def measure_spawn(count):
    for _ in range(count):
        await asyncio.create_task(nothing())


async def measure_group_of_10(count):
    for _ in range(count // 10):
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(nothing())


async def measure_timeout(count):
    for _ in range(count):
        async with asyncio.timeout(1):
            pass


async def emit_often():
    while True:
        yield None


async def measure_generator(count):
    async for _ in emit_often():
        count -= 1
        if count == 0:
            break


async def main():
    for name, measure, count in (
        ("yield", measure_yield, 100_000),
        ("yield-1000", measure_yield_1000, 100_000),
        ("await-ready", measure_await_ready, 300_000),
        ("spawn", measure_spawn, 50_000),
        ("group-of-10", measure_group_of_10, 50_000),
        ("timeout", measure_timeout, 50_000),
        ("generator", measure_generator, 200_000),
    ):
        await measure(1000)
        start = time.thread_time_ns()
        await measure(count)
        print(f"{name} {(time.thread_time_ns() - start) / count:.1f}")


asyncio.run(main())

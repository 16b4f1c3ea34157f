//! What tasks cost in tokio on one thread: the names and units of bench/tasks/rill.c.

use std::future::Future;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{spawn, yield_now, JoinHandle};
use tokio::time::timeout;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, at: *mut Timespec) -> i32;
}

const CLOCK_THREAD_CPUTIME_ID: i32 = 3;

fn cpu_ns() -> i64 {
    let mut at = Timespec { seconds: 0, nanoseconds: 0 };
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut at) };
    at.seconds * 1_000_000_000 + at.nanoseconds
}

async fn measure_yield(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

async fn measure_yield_1000(count: usize) {
    let tasks: Vec<JoinHandle<()>> =
        (0..1000).map(|_| spawn(measure_yield(count / 1000))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn measure_spawn(count: usize) {
    for _ in 0..count {
        spawn(async {}).await.unwrap();
    }
}

async fn measure_group_of_10(count: usize) {
    for _ in 0..count / 10 {
        let tasks: Vec<JoinHandle<()>> = (0..10).map(|_| spawn(async {})).collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
}

async fn measure_timeout(count: usize) {
    for _ in 0..count {
        timeout(Duration::from_secs(1), async {}).await.unwrap();
    }
}

/// A future made, awaited and set by another task.
async fn measure_future(count: usize) {
    let (ask, mut asked) = tokio::sync::mpsc::channel::<oneshot::Sender<()>>(1);
    let other = spawn(async move {
        while let Some(answer) = asked.recv().await {
            answer.send(()).unwrap();
        }
    });
    for _ in 0..count {
        let (answer, answered) = oneshot::channel();
        ask.send(answer).await.unwrap();
        answered.await.unwrap();
    }
    drop(ask);
    other.await.unwrap();
}

async fn measure<F: Future>(name: &str, count: usize, run: impl Fn(usize) -> F) {
    run(count / 10).await;
    let start = cpu_ns();
    run(count).await;
    println!("{} {:.1}", name, (cpu_ns() - start) as f64 / count as f64);
}

/// Each on a runtime with no more than it needs: a timer wheel costs every yield.
fn main() {
    let plain = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let timed = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();

    plain.block_on(async {
        spawn(async {
            measure("yield", 1_000_000, measure_yield).await;
            measure("yield-1000", 1_000_000, measure_yield_1000).await;
            measure("spawn", 500_000, measure_spawn).await;
            measure("group-of-10", 500_000, measure_group_of_10).await;
            measure("future", 500_000, measure_future).await;
        })
        .await
        .unwrap();
    });
    timed.block_on(measure("timeout", 1_000_000, measure_timeout));
}

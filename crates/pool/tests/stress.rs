//! The same promises as the model checks, on real threads and in large numbers; also run under ThreadSanitizer.
#![cfg(not(loom))]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hypern_pool::{Agenda, Alive, Lifecycle, Limit, Next, Promise, PushError, Queue, Space, ThreadSettings};

fn space(capacity: usize) -> Option<Arc<Space>> {
    NonZeroUsize::new(capacity).map(|capacity| Arc::new(Space::new(capacity)))
}

fn take<T>(queue: &Queue<T>) -> Option<T> {
    match queue.next_after(|| ()) {
        Next::Task(task) => Some(task),
        Next::Rest => unreachable!("nobody pauses"),
        Next::End => None,
    }
}

fn settings() -> ThreadSettings {
    ThreadSettings { name_prefix: "pool".into(), stack_size: 256 * 1024 }
}

fn push_waiting<T>(queue: &Queue<T>, mut task: T) -> Result<(), T> {
    loop {
        match queue.push(task, Limit::Heeded) {
            Ok(_) => return Ok(()),
            Err(PushError::Closed(back)) => return Err(back),
            Err(PushError::Full(back)) => {
                task = back;
                queue.wait_for_space(None);
            }
        }
    }
}

#[test]
fn every_task_of_many_pushers_runs_once() {
    for space in [None, space(1), space(7)] {
        let queue = Arc::new(Queue::new(space));
        let lifecycle = Arc::new(Lifecycle::new());
        let sum = Arc::new(AtomicUsize::new(0));
        for index in 0..3 {
            let (queue, sum) = (Arc::clone(&queue), Arc::clone(&sum));
            lifecycle
                .spawn(&settings(), index, move |_| {
                    while let Some(number) = take(&queue) {
                        sum.fetch_add(number, Ordering::Relaxed);
                    }
                })
                .expect("a thread");
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (1..=5_000).for_each(|number| push_waiting(&queue, number).expect("open")));
            }
        });
        queue.close();
        assert!(lifecycle.wait_ended(Some(Duration::from_secs(60))));
        assert_eq!(sum.load(Ordering::Relaxed), 4 * 5_000 * 5_001 / 2);
        assert_eq!(queue.pending(), 0);
    }
}

#[test]
fn pushes_that_race_with_the_end_run_or_come_back() {
    for round in 0..300 {
        let queue = Arc::new(Queue::new(space(1 + round % 3)));
        let lifecycle = Arc::new(Lifecycle::new());
        let ran = Arc::new(AtomicUsize::new(0));
        for index in 0..2 {
            let (queue, ran) = (Arc::clone(&queue), Arc::clone(&ran));
            lifecycle
                .spawn(&settings(), index, move |_| {
                    while take(&queue).is_some() {
                        ran.fetch_add(1, Ordering::Relaxed);
                    }
                })
                .expect("a thread");
        }
        let accepted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while push_waiting(&queue, ()).is_ok() {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            scope.spawn(|| queue.close());
        });
        assert!(lifecycle.wait_ended(Some(Duration::from_secs(60))));
        assert_eq!(ran.load(Ordering::Relaxed), accepted.load(Ordering::Relaxed));
    }
}

#[test]
fn round_trips_neither_hang_nor_mix() {
    let queue = Arc::new(Queue::<(usize, Arc<Promise<usize>>)>::new(None));
    let lifecycle = Arc::new(Lifecycle::new());
    for index in 0..2 {
        let queue = Arc::clone(&queue);
        lifecycle
            .spawn(&settings(), index, move |_| {
                while let Some((number, promise)) = take(&queue) {
                    promise.settle(number + 1);
                }
            })
            .expect("a thread");
    }
    for number in 0..20_000 {
        let promise = Arc::new(Promise::new());
        queue.push((number, Arc::clone(&promise)), Limit::Heeded).expect("open");
        assert_eq!(promise.wait(Duration::ZERO, None), Some(number + 1));
    }
    queue.close();
    assert!(lifecycle.wait_ended(None));
}

#[test]
fn a_panicking_worker_is_counted_out() {
    let lifecycle = Arc::new(Lifecycle::new());
    lifecycle.spawn(&settings(), 0, |_| std::panic::resume_unwind(Box::new("on purpose"))).expect("a thread");
    assert!(lifecycle.wait_ended(Some(Duration::from_secs(60))));
    assert_eq!(lifecycle.live(), 0);
}

#[test]
fn a_thread_that_is_counted_elsewhere_leaves_its_place_to_another() {
    let (pool, left) = (Arc::new(Lifecycle::new()), Arc::new(Lifecycle::new()));
    let (stuck, stand_in) = (Arc::new(Promise::new()), Arc::new(Promise::new()));
    let abandoned = Arc::new(Promise::new());
    let (told, waits) = (Arc::clone(&abandoned), Arc::clone(&stuck));
    let work = move |alive: &Arc<Alive>| {
        told.settle(Arc::clone(alive));
        waits.wait(Duration::ZERO, None);
    };
    pool.spawn(&settings(), 0, work).expect("a thread");
    let alive = abandoned.wait(Duration::ZERO, None).expect("a guard");
    let waits = Arc::clone(&stand_in);
    let place = alive.move_to(&left);
    drop(alive);
    settings().spawn(0, place, move |_| assert!(waits.wait(Duration::ZERO, None).is_some())).expect("a thread");
    assert_eq!((pool.live(), left.live()), (1, 1));
    stand_in.settle(());
    assert!(pool.wait_ended(Some(Duration::from_secs(60))));
    assert_eq!(left.live(), 1);
    stuck.settle(());
    assert!(left.wait_ended(Some(Duration::from_secs(60))));
}

#[test]
fn a_keeper_takes_what_is_due_in_order_and_not_what_was_taken_back() {
    let agenda = Arc::new(Agenda::default());
    let now = std::time::Instant::now();
    let last = agenda.add(now + Duration::from_millis(20), 4);
    let keeper = std::thread::spawn({
        let agenda = Arc::clone(&agenda);
        move || (0..3).map(|_| agenda.next()).collect::<Vec<_>>()
    });
    let back = agenda.add(now + Duration::from_millis(15), 3);
    agenda.add(now + Duration::from_millis(10), 2);
    agenda.add(now + Duration::from_millis(5), 1);
    assert_eq!(agenda.remove(back), Some(3));
    assert_eq!(keeper.join().expect("no panic"), [1, 2, 4]);
    assert_eq!(agenda.remove(last), None);
}

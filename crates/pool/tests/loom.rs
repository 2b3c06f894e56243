//! Model checks of the hand-over: every interleaving that loom finds within its preemption bound.
//!
//! Run by `make loom`. Each model is small on purpose; what it proves is in its name.
#![cfg(loom)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use hypern_pool::sync::{AtomicUsize, Ordering};
use hypern_pool::{Agenda, Limit, Mailbox, Next, Promise, PushError, Queue, Space};
use loom::thread;

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

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.max_branches = 10_000;
    builder.check(model);
}

#[test]
fn a_pushed_task_reaches_a_worker_that_was_searching_or_asleep() {
    check(|| {
        let queue = Arc::new(Queue::new(None));
        let worker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || take(&queue)
        });
        queue.push(7, Limit::Heeded).expect("open");
        assert_eq!(worker.join().expect("no panic"), Some(7));
    });
}

#[test]
fn two_tasks_for_two_idle_workers_reach_both() {
    check(|| {
        let queue = Arc::new(Queue::new(None));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                // Each takes one and stays away, as a worker with a long task does.
                thread::spawn(move || take(&queue).expect("open"))
            })
            .collect();
        queue.push(1, Limit::Heeded).expect("open");
        queue.push(2, Limit::Heeded).expect("open");
        let sum: i32 = workers.into_iter().map(|worker| worker.join().expect("no panic")).sum();
        assert_eq!(sum, 3);
    });
}

#[test]
fn a_task_that_races_with_the_end_runs_or_is_given_back() {
    check(|| {
        let queue = Arc::new(Queue::new(None));
        let ran = Arc::new(AtomicUsize::new(0));
        let worker = thread::spawn({
            let (queue, ran) = (Arc::clone(&queue), Arc::clone(&ran));
            move || {
                while take(&queue).is_some() {
                    ran.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let closer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.close()
        });
        let accepted = match queue.push((), Limit::Heeded) {
            Ok(_) => 1,
            Err(PushError::Closed(())) => 0,
            Err(PushError::Full(())) => unreachable!("unbounded"),
        };
        closer.join().expect("no panic");
        worker.join().expect("no panic");
        assert_eq!(ran.load(Ordering::SeqCst), accepted);
        assert_eq!(queue.pending(), 0);
    });
}

#[test]
fn a_ticket_is_claimed_by_one_of_the_caller_and_the_worker() {
    check(|| {
        let queue = Arc::new(Queue::new(None));
        let ticket = queue.push((), Limit::Heeded).expect("open");
        let worker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.try_take().is_some()
        });
        let caller = queue.claim(&ticket).is_some();
        assert!(caller ^ worker.join().expect("no panic"));
        assert_eq!(queue.pending(), 0);
    });
}

#[test]
fn a_pusher_that_waits_for_space_is_woken_by_a_claim() {
    check(|| {
        let queue = Arc::new(Queue::new(space(1)));
        queue.push(1, Limit::Heeded).expect("open");
        let pusher = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let mut task = 2;
                while let Err(PushError::Full(back)) = queue.push(task, Limit::Heeded) {
                    task = back;
                    queue.wait_for_space(None);
                }
            }
        });
        assert_eq!(take(&queue), Some(1));
        pusher.join().expect("no panic");
        assert_eq!(take(&queue), Some(2));
    });
}

#[test]
fn a_pusher_that_waits_for_space_is_woken_by_the_end() {
    check(|| {
        let queue = Arc::new(Queue::new(space(1)));
        queue.push(1, Limit::Heeded).expect("open");
        let pusher = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                loop {
                    match queue.push(2, Limit::Heeded) {
                        Err(PushError::Full(_)) => queue.wait_for_space(None),
                        Err(PushError::Closed(_)) => break,
                        Ok(_) => panic!("nothing made space"),
                    }
                }
            }
        });
        queue.close();
        pusher.join().expect("no panic");
    });
}

#[test]
fn a_pusher_is_woken_by_a_claim_in_another_queue_of_its_space() {
    check(|| {
        let shared = space(1);
        let queue = Arc::new(Queue::new(shared.clone()));
        let other = Queue::new(shared);
        other.push(1, Limit::Heeded).expect("open");
        let pusher = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                while let Err(PushError::Full(_)) = queue.push(2, Limit::Heeded) {
                    queue.wait_for_space(None);
                }
            }
        });
        assert_eq!(take(&other), Some(1));
        pusher.join().expect("no panic");
        assert_eq!(take(&queue), Some(2));
        assert_eq!(other.pending(), 0);
    });
}

#[test]
fn one_who_asked_is_told_of_space_beside_a_pusher_that_waits_for_it() {
    check(|| {
        let queue = Arc::new(Queue::new(space(1)));
        let told = Arc::new(AtomicUsize::new(0));
        queue.push(1, Limit::Heeded).expect("open");
        let pusher = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                while let Err(PushError::Full(_)) = queue.push(2, Limit::Heeded) {
                    queue.wait_for_space(None);
                }
            }
        });
        queue.when_space({
            let told = Arc::clone(&told);
            move || {
                told.fetch_add(1, Ordering::SeqCst);
            }
        });
        assert_eq!(take(&queue), Some(1));
        assert_eq!(told.load(Ordering::SeqCst), 1);
        pusher.join().expect("no panic");
        assert_eq!(take(&queue), Some(2));
    });
}

#[test]
fn one_who_waited_for_space_and_does_not_push_keeps_it_from_nobody() {
    check(|| {
        let queue = Arc::new(Queue::new(space(1)));
        queue.push(1, Limit::Heeded).expect("open");
        let asker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let space = queue.space().expect("bounded");
                while !space.is_left() {
                    queue.wait_for_space(None);
                }
                space.wake_one();
            }
        });
        let pusher = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                while let Err(PushError::Full(_)) = queue.push(2, Limit::Heeded) {
                    queue.wait_for_space(None);
                }
                // As a worker takes it: the asker may have come late.
                queue.try_take()
            }
        });
        assert!(queue.try_take().is_some());
        assert_eq!(pusher.join().expect("no panic"), Some(2));
        asker.join().expect("no panic");
    });
}

#[test]
fn one_who_asked_for_space_is_told_of_the_end() {
    check(|| {
        let queue = Arc::new(Queue::new(space(1)));
        let told = Arc::new(AtomicUsize::new(0));
        queue.push(1, Limit::Heeded).expect("open");
        let asking = thread::spawn({
            let (queue, told) = (Arc::clone(&queue), Arc::clone(&told));
            move || {
                queue.when_space(move || {
                    told.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        queue.close();
        asking.join().expect("no panic");
        assert_eq!(told.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_settled_promise_reaches_its_waiter() {
    check(|| {
        let promise = Arc::new(Promise::new());
        let worker = thread::spawn({
            let promise = Arc::clone(&promise);
            move || promise.settle(5)
        });
        assert_eq!(promise.wait(Duration::ZERO, None), Some(5));
        worker.join().expect("no panic");
    });
}

#[test]
fn a_mailbox_loses_no_letter() {
    check(|| {
        let mailbox = Arc::new(Mailbox::new());
        let workers: Vec<_> = (1..=2)
            .map(|letter| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.put(letter))
            })
            .collect();
        let mut sum = 0;
        while sum < 3 {
            sum += mailbox.take(None).into_iter().sum::<i32>();
        }
        for worker in workers {
            worker.join().expect("no panic");
        }
    });
}

#[test]
fn a_worker_that_was_searching_or_asleep_rests_and_then_takes_what_was_pushed_meanwhile() {
    check(|| {
        let queue = Arc::new(Queue::new(None));
        let resting = Arc::new(Mailbox::new());
        let worker = thread::spawn({
            let (queue, resting) = (Arc::clone(&queue), Arc::clone(&resting));
            move || {
                loop {
                    match queue.next_after(|| ()) {
                        Next::Task(task) => return Some(task),
                        Next::End => return None,
                        Next::Rest => {
                            resting.put(());
                            queue.rest();
                        }
                    }
                }
            }
        });
        queue.pause();
        assert!(!resting.take(None).is_empty());
        queue.push(7, Limit::Heeded).expect("open");
        queue.resume();
        assert_eq!(worker.join().expect("no panic"), Some(7));
    });
}

#[test]
fn a_keeper_that_waits_for_something_later_is_woken_by_what_is_due_before() {
    check(|| {
        let agenda = Arc::new(Agenda::default());
        let now = std::time::Instant::now();
        let later = agenda.add(now + Duration::from_secs(3600), 2);
        let keeper = thread::spawn({
            let agenda = Arc::clone(&agenda);
            move || agenda.next()
        });
        agenda.add(now, 1);
        assert_eq!(keeper.join().expect("no panic"), 1);
        assert_eq!(agenda.remove(later), Some(2));
    });
}

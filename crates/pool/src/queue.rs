//! The tasks that a pool has accepted and not started, oldest first.
//!
//! A task leaves the queue by being *claimed*: by a worker that takes it, by the caller that takes it back, or by
//! the one who ends the pool. Whoever takes the task out of its [`Ticket`] owns it, so it runs at most once; an
//! emptied ticket that still lies in the queue is passed over.

use std::sync::Arc;
use std::time::Duration;

use crate::idle::Idle;
use crate::pause::Pause;
use crate::space::Space;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, SegQueue, fence};

/// Names one accepted task; the task is inside until somebody claims it.
#[derive(Debug)]
pub struct Ticket<T>(Arc<Mutex<Option<Box<T>>>>);

impl<T> Clone for Ticket<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Ticket<T> {
    fn new(task: T) -> Self {
        // Boxed: a ticket that was emptied by somebody else may lie in the queue for a while.
        Self(Arc::new(Mutex::new(Some(Box::new(task)))))
    }

    fn take(&self) -> Option<T> {
        self.0.lock().take().map(|task| *task)
    }
}

/// Whether a push heeds the capacity of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Refused while the queue is full.
    Heeded,
    /// Accepted always: for a task pushed by a worker of this pool, which would otherwise wait for itself.
    Passed,
    /// Accepted also after the queue was closed, unless it was drained: for a task that goes on with one that was accepted.
    /// Who pushes it sees to it that somebody takes it where the queue is closed.
    Owed,
}

/// What a worker that asks for work is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// This.
    Task(T),
    /// Let go of what it holds, then [`Queue::rest`].
    Rest,
    /// End: the queue is closed and empty.
    End,
}

/// Why a push was refused; the task is given back.
#[derive(Debug)]
pub enum PushError<T> {
    /// The queue is closed and accepts nothing any more.
    Closed(T),
    /// The queue holds as many tasks as it may.
    Full(T),
}

/// The queue of one pool.
#[derive(Debug)]
pub struct Queue<T> {
    tickets: SegQueue<Ticket<T>>,
    /// Tasks accepted and not claimed. Raised by the pusher before its ticket is visible, lowered by the claimer.
    pending: AtomicUsize,
    /// What a push that heeds the bound needs a share of; `None` where there is no bound.
    space: Option<Arc<Space>>,
    /// Set once, by [`Queue::close`]; never cleared.
    closed: AtomicBool,
    /// Set once, by [`Queue::drain`]; never cleared.
    drained: AtomicBool,
    idle: Idle,
    pause: Pause,
}

impl<T> Queue<T> {
    /// Makes an empty queue for as many tasks as there is space for, or any number.
    pub fn new(space: Option<Arc<Space>>) -> Self {
        Self {
            tickets: SegQueue::new(),
            pending: AtomicUsize::new(0),
            space,
            closed: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            idle: Idle::new(),
            pause: Pause::new(),
        }
    }

    /// What bounds the queue, perhaps together with others.
    pub fn space(&self) -> Option<&Arc<Space>> {
        self.space.as_ref()
    }

    /// Accepts `task`, or gives it back at once. Never waits.
    pub fn push(&self, task: T, limit: Limit) -> Result<Ticket<T>, PushError<T>> {
        if self.refuses(limit) {
            return Err(PushError::Closed(task));
        }
        if !self.reserve(limit) {
            return Err(PushError::Full(task));
        }
        let ticket = Ticket::new(task);
        self.tickets.push(ticket.clone());
        fence(Ordering::SeqCst);
        if self.refuses(limit) {
            // The last worker may have left before the ticket was visible: whoever claims it first decides.
            if let Some(task) = self.claim(&ticket) {
                return Err(PushError::Closed(task));
            }
        }
        self.idle.wake_one();
        Ok(ticket)
    }

    /// Waits until a push could be accepted, the queue is closed, or `timeout` has passed; then try again.
    ///
    /// Woken by a claim or by [`Queue::close`]. Who does not push afterwards calls [`Space::wake_one`].
    pub fn wait_for_space(&self, timeout: Option<Duration>) {
        if let Some(space) = &self.space {
            space.wait(timeout, || self.is_closed());
        }
    }

    /// Has `tell` called once as soon as a push could be accepted or the queue is closed; now, if that is so. Never waits.
    ///
    /// All who asked are told of one place: those who do not want it any more keep it from nobody.
    pub fn when_space(&self, tell: impl FnOnce() + Send + 'static) {
        match &self.space {
            Some(space) => space.when_left(tell, || self.is_closed()),
            None => tell(),
        }
    }

    /// Takes the oldest task, waiting for one, or tells to rest or end, having called `deliver` first: the worker's last outcome, whose receiver
    /// may push at once.
    ///
    /// Woken by a push, [`Queue::pause`] and [`Queue::close`].
    pub fn next_after(&self, deliver: impl FnOnce()) -> Next<T> {
        let look = || self.next_if_any();
        let found = self.idle.search(deliver, look);
        let found = found.or_else(|| self.idle.sleep(look, || self.is_closed()));
        // Pushes during the search woke nobody: pass the word on while there is more to do.
        if found.is_some() && !self.tickets.is_empty() {
            self.idle.wake_sleeper();
        }
        found.unwrap_or(Next::End)
    }

    /// Like [`Queue::next_after`], but never waits: `None` where there is nothing to do now.
    pub fn next_if_any(&self) -> Option<Next<T>> {
        match self.pause.is_wanted() && !self.is_over() {
            true => Some(Next::Rest),
            false => self.try_take().map(Next::Task),
        }
    }

    /// Tells whether there is nothing left to do and nothing more will come.
    pub fn is_over(&self) -> bool {
        self.is_closed() && self.pending() == 0
    }

    /// Makes workers rest, each as soon as its task has ended. May be called again: they rest until [`Queue::resume`] was
    /// called as often.
    pub fn pause(&self) {
        self.pause.begin();
        self.idle.wake_all();
    }

    /// Lets workers go on.
    pub fn resume(&self) {
        self.pause.end();
    }

    /// Waits until nobody wants workers to rest, or there is nothing to rest for. Woken by [`Queue::resume`] and
    /// [`Queue::close`].
    pub fn rest(&self) {
        self.pause.wait(|| self.is_over());
    }

    /// Takes the oldest task if there is one. Never waits.
    pub fn try_take(&self) -> Option<T> {
        while let Some(ticket) = self.tickets.pop() {
            if let Some(task) = self.claim(&ticket) {
                return Some(task);
            }
        }
        None
    }

    /// Takes the named task unless somebody else has.
    pub fn claim(&self, ticket: &Ticket<T>) -> Option<T> {
        let task = ticket.take()?;
        self.pending.fetch_sub(1, Ordering::SeqCst);
        if let Some(space) = &self.space {
            space.give_back();
        }
        Some(task)
    }

    /// Accepts nothing from now on. What was accepted is still taken; then the workers are told to end.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.idle.wake_all();
        self.pause.wake();
        if let Some(space) = &self.space {
            space.wake_all();
        }
    }

    /// Claims everything that has not been started. Called after [`Queue::close`].
    pub fn drain(&self) -> Vec<T> {
        self.drained.store(true, Ordering::SeqCst);
        std::iter::from_fn(|| self.try_take()).collect()
    }

    /// Tells how many tasks are accepted and not started.
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::SeqCst)
    }

    /// Tells whether [`Queue::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn refuses(&self, limit: Limit) -> bool {
        match limit {
            Limit::Heeded | Limit::Passed => self.is_closed(),
            Limit::Owed => self.drained.load(Ordering::SeqCst),
        }
    }

    fn reserve(&self, limit: Limit) -> bool {
        if let Some(space) = &self.space {
            match limit {
                Limit::Passed | Limit::Owed => space.overfill(),
                Limit::Heeded if !space.take() => return false,
                Limit::Heeded => {}
            }
        }
        self.pending.fetch_add(1, Ordering::SeqCst);
        true
    }
}

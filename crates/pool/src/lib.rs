//! The pool of hypern: who waits for whom, and why nobody waits for ever. Nothing here knows Python.
//!
//! * [`queue`](mod@queue): tasks that are accepted and not started; bounded or not; [`Ticket`] names one of them.
//! * [`space`](mod@space): how many tasks may wait, in one queue or in several that share the limit.
//! * [`idle`](mod@idle): how a worker without work waits, and how it is reached in a few microseconds.
//! * [`pause`](mod@pause): how workers are made to rest between two tasks.
//! * [`promise`](mod@promise): where one caller waits for one outcome. [`mailbox`](mod@mailbox): where one caller waits for many.
//! * [`lifecycle`](mod@lifecycle): running, closing, ended; the threads of a pool and the wait for their end.
//! * [`agenda`](mod@agenda): what is to be done at which time.
//! * Counters: [`stats`]; [`histogram`](mod@histogram): how long things took.
//!
//! The protocols and the arguments why they lose no task and no wake-up are in `README.md` beside this file.
#![forbid(unsafe_code)]

pub mod agenda;
pub mod histogram;
pub mod idle;
pub mod lifecycle;
pub mod mailbox;
pub mod pause;
pub mod promise;
pub mod queue;
pub mod space;
pub mod stats;
pub mod sync;

pub use agenda::{Agenda, Entry};
pub use histogram::{Histogram, Times};
pub use lifecycle::{Alive, Lifecycle, ThreadSettings};
pub use mailbox::Mailbox;
pub use pause::Pause;
pub use promise::Promise;
pub use queue::{Limit, Next, PushError, Queue, Ticket};
pub use space::Space;
pub use stats::{Numbers, Stats};

//! One worker process: started, spoken to one task at a time, and seen to its end.

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ExitStatus, Stdio};
use std::sync::RwLockReadGuard;
use std::time::Duration;

use hypern_wire::{Frame, FrameError, Kind, read_frame, write_head};

use crate::channel::Channel;
use crate::core::Seat;
use crate::fork;
use crate::interrupt::Target;
use crate::known::Known;
use crate::task::Encoded;

/// How long a process may take to end by itself, exit handlers of the user's modules included, before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long the two sides of a short call look for the reply before they sleep. Waking one costs tens of microseconds.
pub(crate) const LOOK: Duration = Duration::from_micros(100);
/// Frames up to this size are put together and sent in one piece.
const SMALL: usize = 16 * 1024;

/// How a worker process is started.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// What the process is told first; see `begin` of `hypern._guest`.
    pub(crate) setup: Vec<u8>,
}

/// A live worker process. Dropping it kills and reaps the process.
pub(crate) struct Child<'a> {
    process: process::Child,
    channel: Channel,
    known: Known,
    seat: &'a Seat,
    reaped: Option<ExitStatus>,
    /// Held while the fields above are dropped, which closes their descriptors.
    no_fork: Option<RwLockReadGuard<'static, ()>>,
}

/// Why there is no reply.
pub(crate) enum Lost {
    /// The process ended before it had read the task, so the task can be given to another.
    Unread,
    /// The process ended, or had to be ended, with the task in its hands.
    Died { pid: u32, status: Option<i32>, detail: String },
}

impl<'a> Child<'a> {
    /// Starts a process; it is not ready before it has said so, see [`Child::receive`].
    pub(crate) fn start(command: &Command, seat: &'a Seat) -> io::Result<Self> {
        let no_fork = fork::hold_off();
        let (ours, theirs) = UnixStream::pair()?;
        let process = process::Command::new(&command.program)
            .args(&command.args)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let channel = Channel::new(ours, open_process(&process));
        seat.inherited.set(channel.descriptors());
        drop(no_fork);
        seat.reach.set(i32::try_from(process.id()).ok().map(Target::Process));
        let mut child = Self { process, channel, known: Known::default(), seat, reaped: None, no_fork: None };
        let mut head = Vec::new();
        write_head(&mut head, Kind::Setup, 0, command.setup.len(), std::iter::empty());
        // A process that is gone already is found out by the first read.
        drop(child.channel.write_all(&mut [IoSlice::new(&head), IoSlice::new(&command.setup)]));
        Ok(child)
    }

    /// Tells whether the process has ended, killed while it was idle for one.
    pub(crate) fn has_ended(&self) -> bool {
        self.channel.has_ended()
    }

    /// Gives the process a task and waits for its reply. Woken by the kernel: data, or the end of the process.
    pub(crate) fn exchange(&mut self, task: &Encoded) -> Result<Frame, Lost> {
        self.channel.look = if task.awaited { LOOK } else { Duration::ZERO };
        if self.send(task).is_err() {
            return Err(Lost::Unread);
        }
        self.receive()
    }

    /// Waits for a frame.
    pub(crate) fn receive(&mut self) -> Result<Frame, Lost> {
        match read_frame(&mut self.channel) {
            Ok(frame @ Frame { kind: Kind::Ready | Kind::Returned | Kind::Raised, .. }) => Ok(frame),
            Ok(Frame { kind, .. }) => {
                Err(self.lost(format!("it sent a frame of kind {kind:?}, which only hypern sends")))
            }
            // On Linux a socket is reset, and not just closed, when its other side ends with bytes unread.
            Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => Err(Lost::Unread),
            Err(FrameError::Closed) => Err(self.lost(String::new())),
            Err(error) => Err(self.lost(format!("what it sent is {error}"))),
        }
    }

    /// Lets the process end by itself; kills it where that takes too long.
    pub(crate) fn end(mut self) {
        self.channel.finish(GRACE);
    }

    fn send(&mut self, task: &Encoded) -> io::Result<()> {
        let mut head = Vec::new();
        let number = self.known.prepare(task, |kind, number, bytes| {
            write_head(&mut head, kind, number, bytes.len(), std::iter::empty());
            head.extend_from_slice(bytes);
        });
        let payload: &[u8] = &task.payload;
        write_head(&mut head, task.kind, number, payload.len(), task.buffers.iter().map(|buffer| buffer.len()));
        if task.buffers.is_empty() && head.len() + payload.len() <= SMALL {
            head.extend_from_slice(payload);
            return self.channel.write_all(&mut [IoSlice::new(&head)]);
        }
        let mut pieces = vec![IoSlice::new(&head), IoSlice::new(payload)];
        pieces.extend(task.buffers.iter().map(|buffer| IoSlice::new(buffer.as_system_bytes())));
        self.channel.write_all(&mut pieces)
    }

    fn lost(&mut self, detail: String) -> Lost {
        let pid = self.process.id();
        let status =
            self.reap().map(|status| status.signal().map_or_else(|| status.code().unwrap_or(0), |signal| -signal));
        Lost::Died { pid, status, detail }
    }

    /// Kills the process unless it has ended, and frees its entry in the system's table.
    fn reap(&mut self) -> Option<ExitStatus> {
        if self.reaped.is_none() {
            // Before reaping: afterwards the identifiers may belong to somebody else.
            self.seat.reach.set(None);
            if !self.channel.finish(Duration::from_millis(200)) {
                drop(self.process.kill());
            }
            self.reaped = self.process.wait().ok();
        }
        self.reaped
    }
}

impl Drop for Child<'_> {
    fn drop(&mut self) {
        self.reap();
        self.no_fork = Some(fork::hold_off());
        self.seat.inherited.set([None, None]);
    }
}

#[cfg(target_os = "linux")]
fn open_process(process: &process::Child) -> Option<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    // Without it (an old kernel) the end of the channel has to do.
    pidfd_open(Pid::from_child(process), PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_process(_: &process::Child) -> Option<OwnedFd> {
    None
}

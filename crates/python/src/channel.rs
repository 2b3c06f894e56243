//! The parent's end of the socket to a worker process: reads and writes that end when the process does.
//!
//! The end of the process is seen through its pidfd where the system has one (Linux), so that a descriptor that a
//! grandchild inherited cannot keep a dead worker's channel open.

use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hypern_pool::sync::Spin;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};

/// Bytes taken from the socket at once, so that a small frame costs one system call.
const GULP: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: UnixStream,
    /// Readable when the process has ended.
    process: Option<OwnedFd>,
    /// Bytes received: those from `taken` to `filled` are not yet read.
    received: Box<[u8]>,
    taken: usize,
    filled: usize,
    /// How long a read looks before it waits; nothing where nobody waits for this reply alone.
    pub(crate) look: Duration,
}

impl Channel {
    pub(crate) fn new(socket: UnixStream, process: Option<OwnedFd>) -> Self {
        Self { socket, process, received: vec![0; GULP].into_boxed_slice(), taken: 0, filled: 0, look: Duration::ZERO }
    }

    /// What is open: the socket, and what tells of the end of the process.
    pub(crate) fn descriptors(&self) -> [Option<RawFd>; 2] {
        [Some(self.socket.as_raw_fd()), self.process.as_ref().map(AsRawFd::as_raw_fd)]
    }

    /// Tells whether the process has ended, without waiting.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.process {
            Some(process) => is_ready(process, PollFlags::IN, Some(Duration::ZERO)),
            None => matches!(recv(&self.socket, &mut [0_u8; 1][..], RecvFlags::DONTWAIT | RecvFlags::PEEK), Ok((0, _))),
        }
    }

    /// Tells the process that nothing more comes, and waits until it has ended, at most `timeout`.
    pub(crate) fn finish(&mut self, timeout: Duration) -> bool {
        drop(self.socket.shutdown(std::net::Shutdown::Write));
        match &self.process {
            Some(process) => is_ready(process, PollFlags::IN, Some(timeout)),
            None => is_ready(&self.socket, PollFlags::HUP, Some(timeout)),
        }
    }

    /// Writes all the pieces, in order.
    ///
    /// # Errors
    /// `BrokenPipe` where the process ended before it had read everything.
    pub(crate) fn write_all(&mut self, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut pieces = pieces;
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            // The system takes at most 1024 pieces at once.
            let batch = &pieces[..pieces.len().min(1024)];
            match sendmsg(
                &self.socket,
                batch,
                &mut SendAncillaryBuffer::default(),
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(sent) => IoSlice::advance_slices(&mut pieces, sent),
                Err(Errno::AGAIN) => {
                    if !self.wait(PollFlags::OUT) {
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until the socket is ready; false when the process has ended and it is not. Woken by the kernel.
    fn wait(&self, flags: PollFlags) -> bool {
        loop {
            let socket = PollFd::new(&self.socket, flags);
            let polled = match &self.process {
                Some(process) => {
                    let mut both = [socket, PollFd::new(process, PollFlags::IN)];
                    let polled = poll(&mut both, None);
                    polled.map(|_| (!both[0].revents().is_empty(), !both[1].revents().is_empty()))
                }
                None => {
                    let mut one = [socket];
                    poll(&mut one, None).map(|_| (true, false))
                }
            };
            match polled {
                Ok((true, _)) => return true,
                Ok((false, true)) => return false,
                Ok((false, false)) | Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Takes what is in the socket; 0 when the other side is closed or the process has ended.
    fn receive(&self, place: &mut [u8]) -> io::Result<usize> {
        let look = Spin::start(self.look);
        loop {
            match recv(&self.socket, &mut *place, RecvFlags::DONTWAIT) {
                Ok((_, received)) => return Ok(received),
                Err(Errno::AGAIN) => {
                    if look.turn() {
                        continue;
                    }
                    if !self.wait(PollFlags::IN) {
                        // It may have written its last words before it ended.
                        return match recv(&self.socket, place, RecvFlags::DONTWAIT) {
                            Ok((_, received)) => Ok(received),
                            Err(Errno::AGAIN) => Ok(0),
                            Err(error) => Err(error.into()),
                        };
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for Channel {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.filled {
            if place.len() >= GULP {
                return self.receive(place);
            }
            let mut received = std::mem::take(&mut self.received);
            let result = self.receive(&mut received);
            self.received = received;
            (self.taken, self.filled) = (0, *result.as_ref().unwrap_or(&0));
            result?;
        }
        let ready = &self.received[self.taken..self.filled];
        let count = ready.len().min(place.len());
        place[..count].copy_from_slice(&ready[..count]);
        self.taken += count;
        Ok(count)
    }
}

fn is_ready(descriptor: &impl AsFd, flags: PollFlags, timeout: Option<Duration>) -> bool {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(descriptor, flags)], left.as_ref()) {
            Ok(ready) => return ready > 0,
            Err(Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

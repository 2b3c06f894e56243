//! The frames that cross between hypern and a worker process. Nothing here knows Python or sockets.
//!
//! A frame is a header of 24 bytes, little-endian, then the lengths of its buffers (8 bytes each), its payload,
//! and its buffers:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | magic `HY` |
//! | 2 | 1 | kind, see [`Kind`] |
//! | 3 | 1 | zero |
//! | 4 | 4 | number of buffers |
//! | 8 | 8 | function number, 0 for none |
//! | 16 | 8 | length of the payload |
//!
//! The other side of this page is `python/hypern/_channel.py` and `_kind.py`. A frame from a process is hostile until proven
//! well-formed:
//! every length is checked, and memory is taken as bytes arrive, never on the word of a length.
#![forbid(unsafe_code)]

pub mod plain;

use std::fmt;
use std::io::{self, Read};

/// Bytes of a header.
pub const HEADER: usize = 24;
/// First two bytes of every frame.
pub const MAGIC: [u8; 2] = *b"HY";
/// Most buffers in one frame.
pub const MAX_BUFFERS: u32 = 1 << 20;
/// Most bytes of a payload or buffer: 1 TiB, far over what fits and far under what overflows.
pub const MAX_LENGTH: u64 = 1 << 40;
/// Memory taken for a payload or buffer before its bytes arrive.
const FIRST_GULP: usize = 1 << 20;

/// What a frame says. The numbers are the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// To the guest: call the function once; the payload holds its arguments, or is empty where there are none.
    Call = 1,
    /// To the guest: call the function with each item of the payload.
    Each = 2,
    /// To the guest: call the function with the elements of each item of the payload.
    Star = 3,
    /// To the guest: the payload holds callables with their arguments.
    Calls = 4,
    /// To the guest: keep the function in the payload under the function number.
    Define = 5,
    /// To the guest: forget the function of that number.
    Forget = 6,
    /// From the guest: it is ready.
    Ready = 7,
    /// From the guest: the payload holds what was returned, `None` where it is empty.
    Returned = 8,
    /// From the guest: the payload holds what was raised.
    Raised = 9,
    /// To the guest, first of all: what it takes over from its parent.
    Setup = 10,
    /// To the guest: the module search path of what follows.
    Path = 11,
    /// To the guest: as `Each`, but no item's failure ends the chunk; what comes back is the results and the failures.
    EachCaught = 12,
    /// To the guest: as `Star`, caught in the same way.
    StarCaught = 13,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Call,
        Self::Each,
        Self::Star,
        Self::Calls,
        Self::Define,
        Self::Forget,
        Self::Ready,
        Self::Returned,
        Self::Raised,
        Self::Setup,
        Self::Path,
        Self::EachCaught,
        Self::StarCaught,
    ];

    /// Finds the kind of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One frame as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it says.
    pub kind: Kind,
    /// The function it is about, 0 for none.
    pub function: u64,
    /// The pickled data.
    pub payload: Vec<u8>,
    /// The large pieces that the payload refers to.
    pub buffers: Vec<Vec<u8>>,
}

/// Why no frame could be read.
#[derive(Debug)]
pub enum FrameError {
    /// The other side is gone, before a frame began or in the middle of one.
    Closed,
    /// The bytes are not a frame; the sentence says which rule they break.
    Garbled(String),
    /// The source failed otherwise.
    Io(io::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the other side is gone"),
            Self::Garbled(rule) => write!(f, "not a frame: {rule}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Writes the header and the buffer lengths of a frame at the end of `head`; payload and buffers follow on the wire.
pub fn write_head(
    head: &mut Vec<u8>,
    kind: Kind,
    function: u64,
    payload: usize,
    buffers: impl ExactSizeIterator<Item = usize>,
) {
    head.reserve(HEADER + 8 * buffers.len());
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&[kind as u8, 0]);
    head.extend_from_slice(&u32::try_from(buffers.len()).unwrap_or(u32::MAX).to_le_bytes());
    head.extend_from_slice(&function.to_le_bytes());
    head.extend_from_slice(&(payload as u64).to_le_bytes());
    for length in buffers {
        head.extend_from_slice(&(length as u64).to_le_bytes());
    }
}

/// Reads one frame.
///
/// # Errors
/// [`FrameError`] says what is wrong; nothing can be read from the source after that.
pub fn read_frame(source: &mut impl Read) -> Result<Frame, FrameError> {
    let mut header = [0; HEADER];
    source.read_exact(&mut header)?;
    if header[..2] != MAGIC || header[3] != 0 {
        return Err(FrameError::Garbled(format!("it begins with {:02x?}", &header[..4])));
    }
    let kind =
        Kind::from_number(header[2]).ok_or_else(|| FrameError::Garbled(format!("there is no kind {}", header[2])))?;
    let count = u32::from_le_bytes(field(&header, 4));
    if count > MAX_BUFFERS {
        return Err(FrameError::Garbled(format!("it announces {count} buffers, over {MAX_BUFFERS}")));
    }
    let function = u64::from_le_bytes(field(&header, 8));
    let payload_length = checked_length(u64::from_le_bytes(field(&header, 16)))?;
    let mut lengths = Vec::new();
    for _ in 0..count {
        let mut length = [0; 8];
        source.read_exact(&mut length)?;
        lengths.push(checked_length(u64::from_le_bytes(length))?);
    }
    let payload = read_bytes(source, payload_length)?;
    let buffers = lengths.into_iter().map(|length| read_bytes(source, length)).collect::<Result<_, _>>()?;
    Ok(Frame { kind, function, payload, buffers })
}

fn field<const N: usize>(header: &[u8; HEADER], offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[offset..offset + N]);
    bytes
}

fn checked_length(length: u64) -> Result<u64, FrameError> {
    if length > MAX_LENGTH {
        return Err(FrameError::Garbled(format!("it announces {length} bytes, over {MAX_LENGTH}")));
    }
    Ok(length)
}

fn read_bytes(source: &mut impl Read, length: u64) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(usize::MAX).min(FIRST_GULP));
    source.by_ref().take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Err(FrameError::Closed);
    }
    Ok(bytes)
}

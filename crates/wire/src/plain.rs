//! Plain data as bytes: None, numbers, text, bytes and the built-in containers of them. Nothing here knows Python.
//!
//! The data is a sequence of tokens, each one byte that says what it is, then what belongs to it; a container is followed by
//! its elements. An object that is referred to again carries the bit [`REMEMBERED`] where it stands first, and gets the
//! next number there, from 0; each further reference is a token [`Token::Again`] with that number. Counts and lengths are
//! varints (LEB128), integers zigzag varints, and items of `Ints` and `Floats` 8 bytes, little-endian.
//!
//! Why not pickle: half of what a pickle of small records takes goes into remembering every text and container, which here
//! only those do that somebody else refers to (the idea is that of CPython's `marshal`).

use std::fmt;

/// The first byte. A pickle of protocol 2 or newer begins with 0x80.
pub const MAGIC: u8 = 0xD7;
/// In the first byte of a token: the object is referred to again.
pub const REMEMBERED: u8 = 0x80;

/// One step of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// The object None.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A larger integer, in the hexadecimal form of Python's `hex`.
    Big(&'a [u8]),
    /// A float.
    Float(f64),
    /// A complex number: real and imaginary part.
    Complex(f64, f64),
    /// A text and how its code points are stored.
    Text(Width, &'a [u8]),
    /// The type `bytes`.
    Bytes(&'a [u8]),
    /// The type `bytearray`.
    Bytearray(&'a [u8]),
    /// So many elements follow.
    Tuple(usize),
    /// So many elements follow.
    List(usize),
    /// So many keys, each with its value, follow.
    Dict(usize),
    /// So many elements follow.
    Set(usize),
    /// So many elements follow.
    FrozenSet(usize),
    /// A list of floats.
    Floats(&'a [[u8; 8]]),
    /// A list of integers of at most 64 bits.
    Ints(&'a [[u8; 8]]),
    /// The object of that number once more.
    Again(usize),
}

/// How the code points of a text are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte each (Latin-1).
    One = 1,
    /// Two bytes each, in the order of the machine: both ends are on the same one.
    Two = 2,
    /// Four bytes each, in the order of the machine.
    Four = 4,
}

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const BIG: u8 = 4;
const FLOAT: u8 = 5;
const COMPLEX: u8 = 6;
const TEXT_1: u8 = 7;
const TEXT_2: u8 = 8;
const TEXT_4: u8 = 9;
const BYTES: u8 = 10;
const BYTEARRAY: u8 = 11;
const TUPLE: u8 = 12;
const LIST: u8 = 13;
const DICT: u8 = 14;
const SET: u8 = 15;
const FROZEN_SET: u8 = 16;
const FLOATS: u8 = 17;
const INTS: u8 = 18;
const AGAIN: u8 = 19;

/// Appends tokens to bytes.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.push(MAGIC);
        Self { bytes }
    }
}

impl Writer {
    /// Appends one token, `remembered` where it is referred to again.
    #[inline]
    pub fn put(&mut self, token: Token<'_>, remembered: bool) {
        let mark = if remembered { REMEMBERED } else { 0 };
        match token {
            Token::None => self.bytes.push(NONE | mark),
            Token::Bool(value) => self.bytes.push(if value { TRUE } else { FALSE } | mark),
            Token::Int(value) => {
                self.bytes.push(INT | mark);
                self.varint((value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
            }
            Token::Big(digits) => self.run(BIG | mark, digits),
            Token::Float(value) => {
                self.bytes.push(FLOAT | mark);
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
            Token::Complex(real, imaginary) => {
                self.bytes.push(COMPLEX | mark);
                self.bytes.extend_from_slice(&real.to_le_bytes());
                self.bytes.extend_from_slice(&imaginary.to_le_bytes());
            }
            Token::Text(Width::One, text) => self.run(TEXT_1 | mark, text),
            Token::Text(Width::Two, text) => self.run(TEXT_2 | mark, text),
            Token::Text(Width::Four, text) => self.run(TEXT_4 | mark, text),
            Token::Bytes(value) => self.run(BYTES | mark, value),
            Token::Bytearray(value) => self.run(BYTEARRAY | mark, value),
            Token::Tuple(count) => self.counted(TUPLE | mark, count),
            Token::List(count) => self.counted(LIST | mark, count),
            Token::Dict(count) => self.counted(DICT | mark, count),
            Token::Set(count) => self.counted(SET | mark, count),
            Token::FrozenSet(count) => self.counted(FROZEN_SET | mark, count),
            Token::Floats(items) => self.items(FLOATS | mark, items),
            Token::Ints(items) => self.items(INTS | mark, items),
            Token::Again(number) => self.counted(AGAIN | mark, number),
        }
    }

    /// Appends a list of `count` floats (or integers with `ints`), which `fill` gives one by one as their bytes. Where it
    /// gives none, nothing is appended and this returns false.
    #[inline]
    pub fn put_items(
        &mut self,
        ints: bool,
        count: usize,
        remembered: bool,
        mut fill: impl FnMut(usize) -> Option<[u8; 8]>,
    ) -> bool {
        let begin = self.bytes.len();
        self.counted(if ints { INTS } else { FLOATS } | if remembered { REMEMBERED } else { 0 }, count);
        self.bytes.reserve(count * 8);
        for index in 0..count {
            let Some(item) = fill(index) else {
                self.bytes.truncate(begin);
                return false;
            };
            self.bytes.extend_from_slice(&item);
        }
        true
    }

    /// What was written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    fn run(&mut self, tag: u8, data: &[u8]) {
        self.counted(tag, data.len());
        self.bytes.extend_from_slice(data);
    }

    #[inline]
    fn items(&mut self, tag: u8, items: &[[u8; 8]]) {
        self.counted(tag, items.len());
        self.bytes.extend_from_slice(items.as_flattened());
    }

    #[inline]
    fn counted(&mut self, tag: u8, count: usize) {
        self.bytes.push(tag);
        self.varint(count as u64);
    }

    #[inline]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// The bytes are not plain data; the sentence says which rule they break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// Reads tokens from bytes that may be anything.
///
/// All elements that containers announce must fit in the bytes that are left, one byte each at least, so what a reader
/// allocates on the word of a count is bounded by a small multiple of the input.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Elements announced and not read.
    owed: usize,
}

impl<'a> Reader<'a> {
    /// Begins to read.
    ///
    /// # Errors
    /// The first byte is not [`MAGIC`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.split_first() {
            Some((&MAGIC, rest)) => Ok(Self { rest, owed: 1 }),
            _ => Err(Malformed("it does not begin as plain data does")),
        }
    }

    /// Checks that everything was read.
    ///
    /// # Errors
    /// Something is left.
    pub fn finish(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() && self.owed == 0 { Ok(()) } else { Err(Malformed("there is more than one object")) }
    }

    /// Reads the next token, and whether its object is referred to again.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong; what this returns after that has no meaning.
    #[inline]
    pub fn read(&mut self) -> Result<(Token<'a>, bool), Malformed> {
        let Some((&first, rest)) = self.rest.split_first() else {
            return Err(Malformed("it ends early"));
        };
        self.rest = rest;
        self.owed = self.owed.saturating_sub(1);
        let token = match first & !REMEMBERED {
            NONE => Token::None,
            FALSE => Token::Bool(false),
            TRUE => Token::Bool(true),
            INT => {
                let value = self.varint()?;
                Token::Int((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
            }
            BIG => Token::Big(self.run(1)?),
            FLOAT => Token::Float(f64::from_le_bytes(self.array()?)),
            COMPLEX => Token::Complex(f64::from_le_bytes(self.array()?), f64::from_le_bytes(self.array()?)),
            TEXT_1 => Token::Text(Width::One, self.run(1)?),
            TEXT_2 => Token::Text(Width::Two, self.run(2)?),
            TEXT_4 => Token::Text(Width::Four, self.run(4)?),
            BYTES => Token::Bytes(self.run(1)?),
            BYTEARRAY => Token::Bytearray(self.run(1)?),
            TUPLE => Token::Tuple(self.count(1)?),
            LIST => Token::List(self.count(1)?),
            DICT => Token::Dict(self.count(2)?),
            SET => Token::Set(self.count(1)?),
            FROZEN_SET => Token::FrozenSet(self.count(1)?),
            FLOATS => Token::Floats(self.items()?),
            INTS => Token::Ints(self.items()?),
            AGAIN => Token::Again(self.length()?),
            _ => return Err(Malformed("there is no such token")),
        };
        Ok((token, first & REMEMBERED != 0))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7F) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Malformed("a number does not end, or is larger than 64 bits"))
    }

    #[inline]
    fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.varint()?).map_err(|_| Malformed("a length is larger than memory"))
    }

    /// The number of elements that follow, each of `objects` tokens.
    #[inline]
    fn count(&mut self, objects: usize) -> Result<usize, Malformed> {
        let count = self.length()?;
        self.owed = count.saturating_mul(objects).saturating_add(self.owed);
        if self.owed > self.rest.len() {
            return Err(Malformed("a container announces more elements than there are bytes"));
        }
        Ok(count)
    }

    #[inline]
    fn take(&mut self, size: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or(Malformed("it ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes with their length before them, which must be a multiple of `unit`.
    #[inline]
    fn run(&mut self, unit: usize) -> Result<&'a [u8], Malformed> {
        let size = self.length()?;
        if size % unit != 0 {
            return Err(Malformed("a text ends in the middle of a code point"));
        }
        self.take(size)
    }

    #[inline]
    fn items(&mut self) -> Result<&'a [[u8; 8]], Malformed> {
        let count = self.length()?;
        let bytes = self.take(count.checked_mul(8).ok_or(Malformed("a length is larger than memory"))?)?;
        Ok(bytes.as_chunks().0)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

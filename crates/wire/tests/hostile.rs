//! What a child may send: frames survive the trip, and nothing else panics or takes memory on its word.

use hypern_wire::{Frame, FrameError, HEADER, Kind, MAX_BUFFERS, MAX_LENGTH, read_frame, write_head};
use proptest::prelude::*;

fn bytes_of(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_head(&mut bytes, frame.kind, frame.function, frame.payload.len(), frame.buffers.iter().map(Vec::len));
    bytes.extend_from_slice(&frame.payload);
    frame.buffers.iter().for_each(|buffer| bytes.extend_from_slice(buffer));
    bytes
}

fn frames() -> impl Strategy<Value = Frame> {
    let chunk = || prop::collection::vec(any::<u8>(), 0..300);
    (1_u8..=11, any::<u64>(), chunk(), prop::collection::vec(chunk(), 0..4)).prop_map(
        |(kind, function, payload, buffers)| Frame {
            kind: Kind::from_number(kind).expect("in range"),
            function,
            payload,
            buffers,
        },
    )
}

proptest! {
    #[test]
    fn a_frame_survives_the_trip(first in frames(), second in frames()) {
        let bytes = [bytes_of(&first), bytes_of(&second)].concat();
        let mut source = bytes.as_slice();
        prop_assert_eq!(read_frame(&mut source).expect("whole"), first);
        prop_assert_eq!(read_frame(&mut source).expect("whole"), second);
        prop_assert!(matches!(read_frame(&mut source), Err(FrameError::Closed)));
    }

    #[test]
    fn a_truncated_frame_is_closed(frame in frames(), cut in any::<prop::sample::Index>()) {
        let bytes = bytes_of(&frame);
        let cut = cut.index(bytes.len());
        prop_assert!(matches!(read_frame(&mut &bytes[..cut]), Err(FrameError::Closed)));
    }

    #[test]
    fn flipped_bits_are_a_frame_or_an_error(frame in frames(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut bytes = bytes_of(&frame);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        drop(read_frame(&mut bytes.as_slice()));
    }

    #[test]
    fn noise_is_an_error(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assume!(!noise.starts_with(b"HY"));
        prop_assert!(read_frame(&mut noise.as_slice()).is_err());
    }
}

#[test]
fn announced_lengths_take_no_memory() {
    for (buffers, payload) in [(0, MAX_LENGTH), (1, 0), (MAX_BUFFERS, 0), (0, u64::MAX), (u32::MAX, 0)] {
        let mut head = Vec::new();
        write_head(&mut head, Kind::Returned, 0, 0, std::iter::empty());
        head[4..8].copy_from_slice(&buffers.to_le_bytes());
        head[16..24].copy_from_slice(&payload.to_le_bytes());
        assert_eq!(head.len(), HEADER);
        assert!(read_frame(&mut head.as_slice()).is_err());
    }
}

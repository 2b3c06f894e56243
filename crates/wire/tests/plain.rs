//! Plain data survives the trip, and bytes that are anything else neither panic nor announce more than they hold.

use hypern_wire::plain::{MAGIC, Malformed, Reader, Token, Width, Writer};
use proptest::prelude::*;

/// A token that owns what it refers to.
#[derive(Clone, Debug)]
enum Kept {
    Plain(Token<'static>),
    Text(Width, Vec<u8>),
    Bytes(Vec<u8>),
    Bytearray(Vec<u8>),
    Big(Vec<u8>),
    Floats(Vec<[u8; 8]>),
    Ints(Vec<[u8; 8]>),
}

impl Kept {
    fn token(&self) -> Token<'_> {
        match self {
            Self::Plain(token) => *token,
            Self::Text(width, data) => Token::Text(*width, data),
            Self::Bytes(data) => Token::Bytes(data),
            Self::Bytearray(data) => Token::Bytearray(data),
            Self::Big(data) => Token::Big(data),
            Self::Floats(items) => Token::Floats(items),
            Self::Ints(items) => Token::Ints(items),
        }
    }
}

fn leaves() -> impl Strategy<Value = Kept> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let items = || prop::collection::vec(any::<[u8; 8]>(), 0..9);
    prop_oneof![
        Just(Kept::Plain(Token::None)),
        any::<bool>().prop_map(|value| Kept::Plain(Token::Bool(value))),
        any::<i64>().prop_map(|value| Kept::Plain(Token::Int(value))),
        (-1e9..1e9).prop_map(|value| Kept::Plain(Token::Float(value))),
        ((-1e9..1e9), (-1e9..1e9)).prop_map(|(real, imaginary)| Kept::Plain(Token::Complex(real, imaginary))),
        any::<u32>().prop_map(|number| Kept::Plain(Token::Again(number as usize))),
        bytes().prop_map(|data| Kept::Text(Width::One, data)),
        bytes().prop_map(|data| Kept::Text(Width::Two, [data.clone(), data].concat())),
        bytes().prop_map(|data| Kept::Text(Width::Four, data.repeat(4))),
        bytes().prop_map(Kept::Bytes),
        bytes().prop_map(Kept::Bytearray),
        bytes().prop_map(Kept::Big),
        items().prop_map(Kept::Floats),
        items().prop_map(Kept::Ints),
    ]
}

/// Tokens of one object, each with whether it is remembered.
fn trees() -> impl Strategy<Value = Vec<(Kept, bool)>> {
    let leaf = (leaves(), any::<bool>()).prop_map(|leaf| vec![leaf]);
    leaf.prop_recursive(5, 60, 6, |inner| {
        (prop::collection::vec(inner, 0..6), 0..5, any::<bool>()).prop_map(|(mut parts, kind, remembered)| {
            let count = parts.len();
            let container = match kind {
                0 => Token::Tuple(count),
                1 => Token::List(count),
                2 => Token::Set(count),
                3 => Token::FrozenSet(count),
                _ => {
                    parts.truncate(count / 2 * 2);
                    Token::Dict(count / 2)
                }
            };
            std::iter::once((Kept::Plain(container), remembered)).chain(parts.concat()).collect()
        })
    })
}

fn write(tokens: &[(Kept, bool)]) -> Vec<u8> {
    let mut writer = Writer::default();
    tokens.iter().for_each(|(token, remembered)| writer.put(token.token(), *remembered));
    writer.bytes().to_vec()
}

/// Reads one object and everything in it; returns how many elements were announced.
fn read_all(bytes: &[u8]) -> Result<usize, Malformed> {
    let mut reader = Reader::new(bytes)?;
    let (mut left, mut announced) = (1_usize, 0);
    while left > 0 {
        let (token, _) = reader.read()?;
        let elements = match token {
            Token::Tuple(count) | Token::List(count) | Token::Set(count) | Token::FrozenSet(count) => count,
            Token::Dict(count) => 2 * count,
            _ => 0,
        };
        announced += elements;
        assert!(announced <= bytes.len(), "{announced} elements announced by {} bytes", bytes.len());
        left = left - 1 + elements;
    }
    reader.finish()?;
    Ok(announced)
}

proptest! {
    #[test]
    fn data_survives_the_trip(tokens in trees()) {
        let bytes = write(&tokens);
        let mut reader = Reader::new(&bytes).expect("magic");
        for (token, remembered) in &tokens {
            prop_assert_eq!(reader.read(), Ok((token.token(), *remembered)));
        }
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_list_of_numbers_written_item_by_item_is_the_same(items in prop::collection::vec(any::<[u8; 8]>(), 0..9), ints: bool) {
        let whole = if ints { Kept::Ints(items.clone()) } else { Kept::Floats(items.clone()) };
        let mut writer = Writer::default();
        prop_assert!(writer.put_items(ints, items.len(), true, |index| items.get(index).copied()));
        prop_assert_eq!(writer.bytes(), write(&[(whole, true)]));
        prop_assert!(!writer.put_items(ints, items.len() + 1, true, |index| items.get(index).copied()));
        prop_assert_eq!(writer.bytes().len(), write(&[(Kept::Ints(items), true)]).len());
    }

    #[test]
    fn what_is_cut_short_is_refused(tokens in trees(), cut: prop::sample::Index) {
        let bytes = write(&tokens);
        prop_assert!(read_all(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn what_is_too_long_is_refused(tokens in trees(), more in prop::collection::vec(any::<u8>(), 1..9)) {
        prop_assert!(read_all(&[write(&tokens), more].concat()).is_err());
    }

    #[test]
    fn anything_else_neither_panics_nor_announces_more_than_it_holds(
        tokens in trees(), places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
    ) {
        let mut bytes = write(&tokens);
        for (place, value) in places {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _: Result<usize, Malformed> = read_all(&bytes);
    }

    #[test]
    fn noise_neither_panics_nor_announces_more_than_it_holds(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let _: Result<usize, Malformed> = read_all(&[vec![MAGIC], noise].concat());
    }
}

#[test]
fn containers_may_not_announce_more_than_is_left_all_together() {
    // 60 lists inside each other, each of which says that it is as long as the rest.
    let mut bytes = vec![MAGIC];
    for left in (0..60).rev() {
        bytes.extend([13, 2 * left]);
    }
    assert!(read_all(&bytes).is_err());
}

#[test]
fn a_number_over_64_bits_is_refused() {
    let endless = [vec![MAGIC, 3], vec![0xFF; 20]].concat();
    let too_large = [vec![MAGIC, 3], vec![0xFF; 9], vec![2]].concat();
    let largest = [vec![MAGIC, 3], vec![0xFF; 9], vec![1]].concat();
    assert!(read_all(&endless).is_err());
    assert!(read_all(&too_large).is_err());
    assert_eq!(Reader::new(&largest).expect("magic").read(), Ok((Token::Int(i64::MIN), false)));
}

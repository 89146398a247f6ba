//! Chance from a seed: the same numbers on every machine, in whatever order they are asked for.
//!
//! Nothing here keeps a state but [`Dice`], so that what one agent draws never depends on what
//! another did before. Integers only: a float's last bit may differ between machines, and one bit is
//! another ledger.

/// SplitMix64's finaliser (Steele, Lea and Flood 2014).
const fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number that the words decide, and that looks like chance.
#[must_use]
pub fn mix(words: &[u64]) -> u64 {
    words.iter().fold(GOLDEN, |state, word| {
        finalise(state.wrapping_add(GOLDEN) ^ finalise(word.wrapping_add(GOLDEN)))
    })
}

/// [`mix`], cut to `0..below`; 0 where `below` is 0.
#[must_use]
pub fn roll(below: u64, words: &[u64]) -> u64 {
    mix(words).checked_rem(below).unwrap_or(0)
}

/// [`roll`] for what is counted with a sign.
#[must_use]
pub fn roll_signed(below: u32, words: &[u64]) -> i64 {
    i64::try_from(roll(u64::from(below), words)).unwrap_or(0)
}

/// A text as a word for [`mix`] (FNV-1a).
#[must_use]
pub fn word(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Draws one after the other, for those who want a stream.
#[derive(Debug, Clone)]
pub struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    #[must_use]
    pub const fn new(seed: u64) -> Dice {
        Dice { seed, drawn: 0 }
    }

    pub fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        mix(&[self.seed, word("dice"), self.drawn])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_give_the_same_number_and_others_another() {
        assert_eq!(mix(&[1, 2]), mix(&[1, 2]));
        assert_ne!(mix(&[1, 2]), mix(&[2, 1]));
        assert_ne!(mix(&[1]), mix(&[1, 0]));
        assert_eq!(roll(0, &[7]), 0);
        let (mut one, mut other) = (Dice::new(1), Dice::new(1));
        assert_eq!([one.draw(), one.draw()], [other.draw(), other.draw()]);
    }

    #[test]
    fn rolls_are_about_even() {
        let mut counts = [0_u32; 10];
        for word in 0..10_000 {
            let place = usize::try_from(roll(10, &[3, word])).unwrap();
            counts[place] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1_100).contains(count)),
            "{counts:?}"
        );
    }
}

//! Random numbers from a seed: the same on every machine, in any order of requests.
//!
//! Nothing here keeps a state but [`Dice`], so that what one agent draws never depends on what
//! another did before. Integers only: a float's last bit may differ between machines, and one bit is
//! another ledger.

pub use sources::played::{mix, roll, roll_signed, word};

/// Draws one after the other, for those who want a stream.
#[derive(Debug, Clone)]
pub struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
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
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }
}

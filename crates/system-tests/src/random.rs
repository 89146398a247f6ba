//! Dice that a seed decides: a run that found something can be run again.

/// xorshift64 (Marsaglia 2003).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Zero would stay zero for ever.
    pub const fn seeded(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    /// Milliseconds from `least` up to `most`.
    pub fn millis(&mut self, least: u64, most: u64) -> std::time::Duration {
        let spread = usize::try_from(most - least).unwrap() + 1;
        std::time::Duration::from_millis(least + self.below(spread) as u64)
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

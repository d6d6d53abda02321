//! Who decides what a power cut leaves: a seed, an enumeration, or one of the two extremes.
//!
//! It knows nothing of files: it is asked for one of n, where 0 is always "as it was before" and n - 1 "as written last".

/// Answers the questions of a crash.
pub trait Choose {
    /// One of `0..options`; `options` is at least 1.
    fn pick(&mut self, options: usize) -> usize;
}

/// Nothing that was not synced is left.
#[derive(Debug, Clone, Copy)]
pub struct AllLost;

impl Choose for AllLost {
    fn pick(&mut self, _options: usize) -> usize {
        0
    }
}

/// Everything that was written is left.
#[derive(Debug, Clone, Copy)]
pub struct AllKept;

impl Choose for AllKept {
    fn pick(&mut self, options: usize) -> usize {
        options.saturating_sub(1)
    }
}

/// Every combination, one after another: for states with few open questions.
#[derive(Debug, Clone, Default)]
pub struct Exhaustive {
    /// The answers of this round and the number of options that each had.
    answers: Vec<(usize, usize)>,
    next: usize,
}

impl Exhaustive {
    /// Starts with everything lost.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves on to the next combination; false where there is none. The same state must be asked about again.
    pub fn advance(&mut self) -> bool {
        self.next = 0;
        while let Some((answer, options)) = self.answers.pop() {
            if answer + 1 < options {
                self.answers.push((answer + 1, options));
                return true;
            }
        }
        false
    }
}

impl Choose for Exhaustive {
    fn pick(&mut self, options: usize) -> usize {
        if self.next == self.answers.len() {
            self.answers.push((0, options));
        }
        let (answer, known) = self.answers.get(self.next).copied().unwrap_or((0, options));
        assert_eq!(known, options, "another state than in the round before");
        self.next += 1;
        answer
    }
}

/// Pseudo-random answers that a seed repeats. Some stretches lean towards old, some towards new: with even odds
/// everywhere, almost every large write would be torn in its first sectors.
#[derive(Debug, Clone)]
pub struct Seeded {
    state: u64,
    /// How many of 16 answers are "as written last", and how many of the others "as it was".
    newest: u64,
    oldest: u64,
}

impl Seeded {
    /// The same seed gives the same answers to the same questions.
    pub fn new(seed: u64) -> Self {
        let mut seeded = Self {
            state: seed,
            newest: 8,
            oldest: 8,
        };
        seeded.lean();
        seeded
    }

    /// Sixty-four pseudo-random bits (the `SplitMix64` sequence of Steele, Lea and Flood).
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An even choice of `0..bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.bits() % bound).unwrap_or(0)
    }

    fn lean(&mut self) {
        (self.newest, self.oldest) = match self.bits() % 8 {
            0 => (0, 16),
            1 => (16, 16),
            2 => (1, 16),
            3 => (15, 16),
            4 => (4, 12),
            _ => (8, 12),
        };
    }
}

impl Choose for Seeded {
    fn pick(&mut self, options: usize) -> usize {
        if self.bits().is_multiple_of(24) {
            self.lean();
        }
        if self.bits() % 16 < self.newest {
            options.saturating_sub(1)
        } else if self.bits() % 16 < self.oldest {
            0
        } else {
            self.below(options)
        }
    }
}

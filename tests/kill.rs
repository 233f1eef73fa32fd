//! Kill at every step: the real program is killed with SIGKILL before and after every call it makes
//! to the engine, and before and after every write, rename and fsync of its state, and then run
//! again. It must end as if it had never been killed, and at no moment in between may there be no
//! `latest`, or no fallback (design 4.6).
//!
//! `story` tells the stories, `snapshot` keeps the host as it was before each of their steps,
//! `point` finds the points to kill at, `ending` compares how it came out. The fake engine kills at
//! its calls; strace kills at the state's. Needs root, for the clock.

#[cfg(test)]
#[path = "kill/ending.rs"]
mod ending;
#[cfg(test)]
#[path = "support/host.rs"]
#[allow(dead_code, reason = "the fault tests need more of it")]
mod host;
#[cfg(test)]
#[path = "kill/point.rs"]
mod point;
#[cfg(test)]
#[path = "kill/snapshot.rs"]
mod snapshot;
#[cfg(test)]
#[path = "kill/stories.rs"]
mod stories;
#[cfg(test)]
#[path = "kill/story.rs"]
mod story;

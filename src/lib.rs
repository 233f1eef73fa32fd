//! Reduced to what compiles while the decision moves into its crate.
pub mod duration;
pub mod init;
pub mod policy_file;
pub mod suggest;

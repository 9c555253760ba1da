//! file to Config, all problems at once

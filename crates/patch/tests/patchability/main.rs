//! What is said of patches before they are built: each rule by an example, in text alone and with
//! the whole file at hand.

mod cut_functions;
mod data;
mod file_scope;
mod functions;
mod init_code;
mod linear_time;
mod places;
mod series;
mod support;
mod whole_files;

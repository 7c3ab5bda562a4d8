//! Prints the facts of a vmlinux and what reading them took:
//! `cargo run --release -p elivepatch-elf --example vmlinux_facts -- VMLINUX`

use std::{error::Error, path::Path, time::Instant};

use elivepatch_elf::{SPECIAL_STRUCTS, SymbolKind, Vmlinux};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: vmlinux_facts VMLINUX")?;
    let start = Instant::now();
    let vmlinux = Vmlinux::open(Path::new(&path))?;
    println!("banner:        {}", vmlinux.linux_banner()?.unwrap_or_default());
    if let Some(build_id) = vmlinux.build_id()? {
        println!("build-id:      {build_id}");
    }
    let symbols = vmlinux.symbols()?;
    let functions = symbols.iter().filter(|symbol| symbol.kind == SymbolKind::Function).count();
    println!("symbols:       {}, functions {functions}", symbols.len());
    println!("               {:?} so far", start.elapsed());
    for (name, size) in vmlinux.struct_sizes(&SPECIAL_STRUCTS)? {
        println!("struct size:   {name} {size}");
    }
    println!("               {:?} so far", start.elapsed());
    let units = vmlinux.compile_units()?;
    println!("compile units: {}", units.len());
    let included = vmlinux.included_sources()?;
    println!("included:      {}", included.len());
    for (source, units) in included.iter().filter(|(source, _)| units.contains(*source)) {
        println!("               {source} is compiled, and included by {units:?}");
    }
    if std::env::args().nth(2).is_some_and(|option| option == "--units") {
        for unit in &units {
            println!("{unit}");
        }
    }
    println!("time:          {:?}", start.elapsed());
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
            println!("peak memory:   {}", line.trim_start_matches("VmHWM:").trim());
        }
    }
    Ok(())
}

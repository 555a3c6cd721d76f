#![no_main]

headless_dns_fuzz::target!(transfer);

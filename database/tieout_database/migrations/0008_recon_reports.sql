-- Reports that were made, and who signed them. A report is the canonical JSON of what was found and of
-- what it was computed from; made again from the same inputs it has the same bytes.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

create table recon.report_row (
    report bigint primary key check (report > 0),
    -- the digest of the run that it reports: one report a run's content
    run_digest bytea not null unique check (octet_length(run_digest) = 32),
    made_at timestamptz not null default clock_timestamp(),
    as_of_slot bigint not null,
    as_of_time timestamptz,
    known_load bigint not null,
    verdict text collate "C" not null,
    previous bigint references recon.report_row (report),
    digest bytea not null check (octet_length(digest) = 32),
    body text not null
);

create table recon.report_signature_row (
    report bigint not null references recon.report_row (report),
    public_key text collate "C" not null,
    signature text collate "C" not null,
    signed_at timestamptz not null default clock_timestamp(),
    primary key (report, public_key)
);

call recon.make_append_only('recon.report_row');
call recon.make_append_only('recon.report_signature_row');

create view recon.reports as
select r.report, r.made_at, r.as_of_slot, r.as_of_time, r.known_load, r.verdict, encode(r.digest, 'hex') as sha256,
       r.previous, x.run, r.body, r.run_digest
from recon.report_row r
join recon.run_row x on x.digest = r.run_digest and x.content_run = x.run;

create view recon.report_signatures as
select report, public_key, signature, signed_at from recon.report_signature_row;

-- The files as they were taken in: what a report is computed from.
create view recon.load_bodies as
select load, kind, name, format, declared, body from recon.load_row;

-- A run's canonical JSON, whichever run stored it.
create view recon.run_bodies as
select r.run, r.ran_at, c.body from recon.run_row r join recon.run_row c on c.run = r.content_run;

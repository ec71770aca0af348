-- Whose word a custodian's figures are, and what proves that a wallet is the issuer's own: who holds it, and when
-- control of it was proven.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- squawk-ignore constraint-missing-not-valid
alter table recon.custodian_row add column evidence text collate "C" not null default 'custodian'
    check (evidence in ('custodian', 'broker', 'affiliate', 'management'));
alter table recon.wallet_row add column holder text collate "C", add column proven_at timestamptz;

create or replace view recon.wallets as
select address, kind, role, instrument, valid_from, valid_to, source, evidence, load, venue, holder, proven_at
from recon.wallet_row where load = (select max(load) from recon.load_row where kind = 'registry');

create or replace view recon.custodians as
select custodian, name, currency, quantum, max_age_hours, load, calendar, evidence
from recon.custodian_row where load = (select max(load) from recon.load_row where kind = 'registry');

-- Insert-only is insert-only: what grants forbid on MySQL and MariaDB, triggers forbid here.
CREATE TRIGGER wallet_journal_no_update BEFORE UPDATE ON wallet_journal BEGIN SELECT RAISE(ABORT, 'wallet_journal is insert-only'); END;
CREATE TRIGGER wallet_journal_no_delete BEFORE DELETE ON wallet_journal BEGIN SELECT RAISE(ABORT, 'wallet_journal is insert-only'); END;
CREATE TRIGGER wallet_deposit_no_update BEFORE UPDATE ON wallet_deposit BEGIN SELECT RAISE(ABORT, 'wallet_deposit is insert-only'); END;
CREATE TRIGGER wallet_deposit_no_delete BEFORE DELETE ON wallet_deposit BEGIN SELECT RAISE(ABORT, 'wallet_deposit is insert-only'); END;

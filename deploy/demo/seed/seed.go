// Package seed fills an empty exchange for trying it out: it lists coins and symbols, makes
// two accounts, funds them, and writes how to reach them into demo.json. Every way to run
// the exchange with a demo profile uses it.
package seed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	"mscoin/deploy/demo/story"
	"mscoin/deploy/internal/private"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/errs"
)

var demoCoins = []*walletpb.Coin{
	{Name: "BTC", FullName: "Bitcoin", Scale: 8},
	{Name: "ETH", FullName: "Ether", Scale: 8},
	{Name: "USDT", FullName: "Tether USD", Scale: 8},
}

var demoSymbols = []*exchangepb.Symbol{
	{
		Name: "BTC/USDT", BaseCoin: "BTC", QuoteCoin: "USDT", BaseScale: 8, QuoteScale: 8, TickSize: "0.01", LotSize: "0.00001",
		MinPrice: "0.01", MaxPrice: "1000000", MinQuantity: "0.00001", MaxQuantity: "9000", MinNotional: "5", MaxNotional: "9000000",
		MakerFeePpm: 1000, TakerFeePpm: 1000, MarketBuyEnabled: true, MarketSellEnabled: true, MaxOpenOrders: 100000,
	},
	{
		Name: "ETH/USDT", BaseCoin: "ETH", QuoteCoin: "USDT", BaseScale: 8, QuoteScale: 8, TickSize: "0.01", LotSize: "0.0001",
		MinPrice: "0.01", MaxPrice: "1000000", MinQuantity: "0.0001", MaxQuantity: "9000", MinNotional: "5", MaxNotional: "9000000",
		MakerFeePpm: 1000, TakerFeePpm: 1000, MarketBuyEnabled: true, MarketSellEnabled: true, MaxOpenOrders: 100000,
	},
	{
		Name: "ETH/BTC", BaseCoin: "ETH", QuoteCoin: "BTC", BaseScale: 8, QuoteScale: 8, TickSize: "0.00001", LotSize: "0.001",
		MinPrice: "0.00001", MaxPrice: "1000", MinQuantity: "0.001", MaxQuantity: "100000", MinNotional: "0.0001", MaxNotional: "10000000",
		MakerFeePpm: 1000, TakerFeePpm: 1000, MarketBuyEnabled: true, MarketSellEnabled: true, MaxOpenOrders: 100000,
	},
}

var demoFunds = map[string]string{"BTC": "100", "ETH": "1000", "USDT": "10000000"}

// File is the name of the file with the accounts, as story.Access.
const File = "demo.json"

// Services are connections to the services that are filled.
type Services struct{ Ucenter, Wallet, Exchange grpc.ClientConnInterface }

// Seed lists coins and symbols, creates and funds the demo accounts, and writes File into
// dir, which must exist. Each step can be repeated, so a crash in the middle costs nothing. It
// reports whether this was the first time; afterwards it only moves the addresses in File.
func Seed(ctx context.Context, dir string, to Services, baseURL, wsURL string) (first bool, err error) {
	file := filepath.Join(dir, File)
	var a story.Access
	found, err := private.ReadJSON(file, &a)
	if err != nil {
		return false, err
	}
	if found {
		if a.BaseURL == baseURL && a.WsURL == wsURL {
			return false, nil
		}
		a.BaseURL, a.WsURL = baseURL, wsURL // the address has moved
		return false, private.WriteJSON(file, a)
	}
	s := &seeder{
		ucenter: ucenterpb.NewUcenterServiceClient(to.Ucenter), wallet: walletpb.NewWalletServiceClient(to.Wallet),
		exchange: exchangepb.NewExchangeServiceClient(to.Exchange), dir: dir,
	}
	if err := s.listings(ctx); err != nil {
		return true, err
	}
	if a, err = s.accounts(ctx); err != nil {
		return true, err
	}
	a.BaseURL, a.WsURL = baseURL, wsURL
	if err := private.WriteJSON(file, a); err != nil {
		return true, err
	}
	return true, os.Remove(s.draft())
}

type seeder struct {
	ucenter  ucenterpb.UcenterServiceClient
	wallet   walletpb.WalletServiceClient
	exchange exchangepb.ExchangeServiceClient
	dir      string
}

func (s *seeder) listings(ctx context.Context) error {
	for _, c := range demoCoins {
		if _, err := s.wallet.CreateCoin(ctx, &walletpb.CreateCoinRequest{Coin: c}); err != nil {
			return fmt.Errorf("list coin %s: %w", c.GetName(), err)
		}
	}
	for _, sym := range demoSymbols {
		if _, err := s.exchange.CreateSymbol(ctx, &exchangepb.CreateSymbolRequest{Symbol: sym}); err != nil {
			return fmt.Errorf("list symbol %s: %w", sym.GetName(), err)
		}
	}
	return nil
}

// draft keeps the passwords until demo.json is complete: a member that a crash left behind can still be opened.
func (s *seeder) draft() string { return filepath.Join(s.dir, "demo.draft.json") }

func (s *seeder) accounts(ctx context.Context) (story.Access, error) {
	var a story.Access
	found, err := private.ReadJSON(s.draft(), &a)
	if err != nil {
		return a, err
	}
	if !found {
		a.Accounts = []story.Account{
			{Email: "demo1@mscoin.example", Password: private.RandomHex(12)},
			{Email: "demo2@mscoin.example", Password: private.RandomHex(12)},
		}
		if err := private.WriteJSON(s.draft(), a); err != nil {
			return a, err
		}
	}
	for i := range a.Accounts {
		if err := s.account(ctx, &a.Accounts[i]); err != nil {
			return a, fmt.Errorf("demo account %s: %w", a.Accounts[i].Email, err)
		}
	}
	return a, nil
}

func (s *seeder) account(ctx context.Context, a *story.Account) error {
	_, err := s.ucenter.CreateMember(ctx, &ucenterpb.CreateMemberRequest{Email: a.Email, Password: a.Password, Username: a.Email[:len("demo1")]})
	if err != nil && errs.KindOf(err) != errs.KindAlreadyExists {
		return fmt.Errorf("create: %w", err)
	}
	login, err := s.ucenter.Login(ctx, &ucenterpb.LoginRequest{Contact: a.Email, Password: a.Password})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	id := login.GetMember().GetMemberId()
	for _, c := range demoCoins {
		_, err := s.wallet.Deposit(ctx, &walletpb.DepositRequest{
			Reference: fmt.Sprintf("demo-%d-%s", id, c.GetName()), MemberId: id, Coin: c.GetName(), Amount: demoFunds[c.GetName()],
		})
		if err != nil {
			return fmt.Errorf("fund %s: %w", c.GetName(), err)
		}
	}
	return s.key(ctx, a, id)
}

// key makes the account's API key. A key that a crash left without its secret being kept is deleted.
func (s *seeder) key(ctx context.Context, a *story.Account, id int64) error {
	const label = "demo"
	keys, err := s.ucenter.ListApiKeys(ctx, &ucenterpb.ListApiKeysRequest{MemberId: id})
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	for _, k := range keys.GetApiKeys() {
		if k.GetLabel() != label {
			continue
		}
		_, err := s.ucenter.DeleteApiKey(ctx, &ucenterpb.DeleteApiKeyRequest{MemberId: id, Key: k.GetKey()})
		if err != nil && errs.KindOf(err) != errs.KindNotFound {
			return fmt.Errorf("delete stale key: %w", err)
		}
	}
	made, err := s.ucenter.CreateApiKey(ctx, &ucenterpb.CreateApiKeyRequest{
		MemberId: id, Label: label, Permissions: []ucenterpb.Permission{ucenterpb.Permission_PERMISSION_READ, ucenterpb.Permission_PERMISSION_TRADE},
	})
	if err != nil {
		return fmt.Errorf("create key: %w", err)
	}
	if made.GetSecret() == "" {
		return errors.New("create key: no secret was answered")
	}
	a.APIKey, a.APISecret = made.GetApiKey().GetKey(), made.GetSecret()
	return nil
}

package member_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mscoin/ucenter/member"
)

func TestParseContact(t *testing.T) {
	long := strings.Repeat("a", 64)
	cases := []struct {
		name string
		typ  member.ContactType
		in   string
		want string // empty: refused
	}{
		{"an address is put in lower case", member.Email, "Trader.One@Example.COM", "trader.one@example.com"},
		{"a tag is kept", member.Email, "a+b@example.com", "a+b@example.com"},
		{"the longest local part is accepted", member.Email, long + "@example.com", long + "@example.com"},
		{"a longer local part is refused", member.Email, long + "a@example.com", ""},
		{"an address over 254 bytes is refused", member.Email, "a@" + strings.Repeat("a.", 130) + "com", ""},
		{"a megabyte is refused", member.Email, strings.Repeat("a", 1<<20) + "@example.com", ""},
		{"no domain is refused", member.Email, "a@", ""},
		{"a domain of one label is refused", member.Email, "a@localhost", ""},
		{"an address literal is refused", member.Email, "a@127.0.0.1", ""},
		{"two at signs are refused", member.Email, "a@b@example.com", ""},
		{"a leading dot is refused", member.Email, ".a@example.com", ""},
		{"two dots are refused", member.Email, "a..b@example.com", ""},
		{"a header cannot be injected", member.Email, "a@example.com\r\nBcc: b@example.com", ""},
		{"a space is refused", member.Email, " a@example.com", ""},
		{"quotes are refused", member.Email, `"a b"@example.com`, ""},
		{"a letter outside ASCII is refused", member.Email, "\u0430@example.com", ""},
		{"a label that starts with a hyphen is refused", member.Email, "a@-b.com", ""},
		{"nothing is refused", member.Email, "", ""},
		{"separators are dropped", member.Phone, "+49 (30) 123-456.78", "+493012345678"},
		{"fifteen digits are accepted", member.Phone, "+123456789012345", "+123456789012345"},
		{"sixteen digits are refused", member.Phone, "+1234567890123456", ""},
		{"seven digits are refused", member.Phone, "+1234567", ""},
		{"no plus is refused", member.Phone, "13800138000", ""},
		{"a country code does not start with zero", member.Phone, "+0123456789", ""},
		{"a digit outside ASCII is refused", member.Phone, "+4930１2345678", ""},
		{"a second plus is refused", member.Phone, "+49+301234567", ""},
		{"a contact without a type is refused", 0, "a@example.com", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := member.ParseContact(c.typ, c.in)
			if c.want == "" {
				if !errors.Is(err, member.ErrContact) {
					t.Fatalf("got %q, %v; want a refusal", got.Value, err)
				}
				return
			}
			if err != nil || got.Value != c.want || got.Type != c.typ {
				t.Fatalf("got %+v, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestGuessContact(t *testing.T) {
	if c, err := member.GuessContact("A@example.com"); err != nil || c != (member.Contact{Type: member.Email, Value: "a@example.com"}) {
		t.Errorf("e-mail: %+v, %v", c, err)
	}
	if c, err := member.GuessContact("+1 555 0100 200"); err != nil || c != (member.Contact{Type: member.Phone, Value: "+15550100200"}) {
		t.Errorf("phone: %+v, %v", c, err)
	}
	if _, err := member.GuessContact(strings.Repeat("@", 300)); !errors.Is(err, member.ErrContact) {
		t.Errorf("too long: %v", err)
	}
}

func TestCheckPassword(t *testing.T) {
	contact := member.Contact{Type: member.Email, Value: "somebody@example.com"}
	cases := []struct {
		name, password string
		ok             bool
	}{
		{"eight characters are enough", "tr4d-ers", true},
		{"characters are counted, not bytes", "пароль12", true},
		{"a sentence is fine", "correct horse battery staple", true},
		{"seven are too few", "tr4d-er", false},
		{"128 bytes are accepted", strings.Repeat("abcdefgh", 16), true},
		{"129 bytes are refused", strings.Repeat("abcdefgh", 16) + "a", false},
		{"a megabyte is refused", strings.Repeat("abcd", 1<<18), false},
		{"a common one is refused in any case", "PassWord123", false},
		{"repetition is refused", "abababababab", false},
		{"the own address is refused", "Somebody@example.com", false},
		{"the local part is refused", "somebody", false},
		{"the own name is refused", "Trader-One", false},
		{"a control character is refused", "abcd\x00efgh", false},
		{"invalid UTF-8 is refused", "abcd\xffefgh", false},
		{"the replacement character itself is fine", "abcd\uFFFDefgh", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := member.CheckPassword(c.password, contact, "trader-one")
			if (err == nil) != c.ok {
				t.Fatalf("got %v, want ok=%v", err, c.ok)
			}
			if err != nil && (!errors.Is(err, member.ErrPassword) || len(c.password) > 3 && strings.Contains(err.Error(), c.password)) {
				t.Fatalf("error %v is of the wrong kind or shows the password", err)
			}
		})
	}
}

func TestCheckUsername(t *testing.T) {
	for name, ok := range map[string]bool{
		"abc": true, "a.b-c_d": true, "A1": false, "": false, "-abc": false, "abc.": false, "a b": false,
		strings.Repeat("a", 32): true, strings.Repeat("a", 33): false, "\u0430bc": false, "<b>x</b>": false,
	} {
		if err := member.CheckUsername(name); (err == nil) != ok {
			t.Errorf("%q: got %v, want ok=%v", name, err, ok)
		}
	}
	if err := member.CheckUsername(member.DefaultUsername(1<<53 - 1)); err != nil {
		t.Errorf("the name made up for the largest id must be valid: %v", err)
	}
}

func TestCheckKeyFormat(t *testing.T) {
	good := strings.Repeat("aZ09", 16)
	for key, ok := range map[string]bool{
		good: true, good[1:]: false, good + "a": false, good[:63] + "-": false, good[:62] + "é": false, "": false, strings.Repeat("a", 1<<20): false,
	} {
		if err := member.CheckKeyFormat(key); (err == nil) != ok {
			t.Errorf("key of %d bytes: got %v, want ok=%v", len(key), err, ok)
		}
	}
}

func TestNewKeyRequest(t *testing.T) {
	rt := []member.Permission{member.Trade, member.Read, member.Read}
	req, err := member.NewKeyRequest("bot", rt, []string{"10.1.2.3/8", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1/32"})
	if err != nil {
		t.Fatal(err)
	}
	if got := req.Permissions.List(); !slices.Equal(got, []member.Permission{member.Read, member.Trade}) {
		t.Errorf("permissions %v", got)
	}
	if got := req.IPs.Strings(); !slices.Equal(got, []string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"}) {
		t.Errorf("addresses are not in normal form: %q", got)
	}
	many := make([]string, 31)
	for i := range many {
		many[i] = fmt.Sprintf("10.0.0.%d", i)
	}
	cases := []struct {
		name  string
		label string
		perms []member.Permission
		ips   []string
	}{
		{"a label is needed", "", rt, nil},
		{"a label is short", strings.Repeat("a", 65), rt, nil},
		{"a label is printable", "a\nb", rt, nil},
		{"a permission is needed", "bot", nil, nil},
		{"an unknown permission is refused", "bot", []member.Permission{9}, nil},
		{"withdrawing needs addresses", "bot", []member.Permission{member.Withdraw}, nil},
		{"everywhere is not a list", "bot", []member.Permission{member.Withdraw}, []string{"0.0.0.0/0"}},
		{"everywhere is not a list in IPv6 either", "bot", []member.Permission{member.Withdraw}, []string{"::/0"}},
		{"a zone is refused", "bot", rt, []string{"fe80::1%eth0"}},
		{"a mapped range is refused", "bot", rt, []string{"::ffff:10.0.0.0/104"}},
		{"a host name is refused", "bot", rt, []string{"example.com"}},
		{"at most thirty addresses", "bot", rt, many},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := member.NewKeyRequest(c.label, c.perms, c.ips); !errors.Is(err, member.ErrKeyRequest) {
				t.Fatalf("got %v, want a refusal", err)
			}
		})
	}
}

func TestIPList_Allows(t *testing.T) {
	list, err := member.ParseIPList([]string{"10.0.0.0/8", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for addr, ok := range map[string]bool{
		"10.255.0.1": true, "11.0.0.1": false, "::ffff:10.0.0.1": true, "2001:db8:1::1": true, "2001:db9::1": false,
	} {
		if got := list.Allows(netip.MustParseAddr(addr)); got != ok {
			t.Errorf("%s: got %v, want %v", addr, got, ok)
		}
	}
	if list.Allows(netip.Addr{}) {
		t.Error("an unknown address must not pass a list")
	}
	if !member.IPList(nil).Allows(netip.Addr{}) {
		t.Error("an empty list must allow any address")
	}
}

func TestLimitScope(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64"} {
		if got := member.LimitScope(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
}

func FuzzGuessContact(f *testing.F) {
	for _, s := range []string{"a@example.com", "+4930123456", "@", "+", "a@b", "\x00@\xff", "+(((((((("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := member.GuessContact(s)
		if err != nil {
			return
		}
		again, err := member.ParseContact(c.Type, c.Value)
		if err != nil || again != c {
			t.Fatalf("%q: normal form %q is not stable: %+v, %v", s, c.Value, again, err)
		}
		if strings.ContainsAny(c.Value, "\r\n \x00<>") || len(c.Value) > member.MaxEmailBytes {
			t.Fatalf("%q: normal form %q is not safe in a header", s, c.Value)
		}
	})
}

func FuzzParseIPList(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "::1", "1.2.3.4/33", "fe80::1%0/64", "::ffff:1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := member.ParseIPList([]string{s})
		if err != nil {
			return
		}
		again, err := member.ParseIPList(l.Strings())
		if err != nil || !slices.Equal(again, l) {
			t.Fatalf("%q: %v reads back as %v, %v", s, l, again, err)
		}
		if !l.Allows(l[0].Addr()) {
			t.Fatalf("%q: %v does not contain its own address", s, l)
		}
	})
}

func FuzzCheckPassword(f *testing.F) {
	f.Add("secret", "a@example.com", "name")
	f.Fuzz(func(t *testing.T, password, contact, name string) {
		err := member.CheckPassword(password, member.Contact{Type: member.Email, Value: contact}, name)
		if err == nil && !member.PlausiblePassword(password) {
			t.Fatalf("a password that can be set cannot be used: %q", password)
		}
	})
}

func ExampleParseContact() {
	c, err := member.ParseContact(member.Phone, "+49 (30) 1234-5678")
	fmt.Println(c.Value, err)
	// Output: +493012345678 <nil>
}

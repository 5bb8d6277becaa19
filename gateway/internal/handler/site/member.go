package site

import (
	"context"
	"strings"

	"mscoin/gateway/internal/handler/envelope"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	"mscoin/mscoin-common/errs"
)

type member struct {
	MemberID   int64  `json:"memberId"`
	Username   string `json:"username"`
	Email      string `json:"email"`
	Phone      string `json:"phone"`
	CreateTime int64  `json:"createTime"`
}

func memberOf(m *ucenterpb.Member) member {
	return member{m.GetMemberId(), m.GetUsername(), m.GetEmail(), m.GetPhone(), m.GetCreateTimeMs()}
}

type session struct {
	Token             string `json:"token"`
	ExpireTime        int64  `json:"expireTime"`
	RefreshToken      string `json:"refreshToken"`
	RefreshExpireTime int64  `json:"refreshExpireTime"`
}

func sessionOf(s *ucenterpb.Session) session {
	return session{s.GetAccessToken(), s.GetAccessExpireTimeMs(), s.GetRefreshToken(), s.GetRefreshExpireTimeMs()}
}

// sendCode is POST /uc/register/code {phone} or {email}.
func (a *API) sendCode(ctx context.Context, c *call) (any, error) {
	request := &ucenterpb.SendVerificationCodeRequest{ClientIp: c.address}
	phone, email := c.Text("phone", maxContact), c.Text("email", maxContact)
	if err := c.Err(); err != nil {
		return nil, err
	}
	switch {
	case phone != "" && email != "":
		return nil, envelope.BadRequest("send phone or email, not both")
	case phone != "":
		request.ContactType, request.Contact = ucenterpb.ContactType_CONTACT_TYPE_PHONE, phone
	case email != "":
		request.ContactType, request.Contact = ucenterpb.ContactType_CONTACT_TYPE_EMAIL, email
	default:
		return nil, envelope.BadRequest("phone or email is missing")
	}
	_, err := a.backends.Ucenter.SendVerificationCode(ctx, request)
	return nil, err
}

// registerPhone is POST /uc/register/phone {phone, code, password, username}.
func (a *API) registerPhone(ctx context.Context, c *call) (any, error) {
	return a.register(ctx, c, ucenterpb.ContactType_CONTACT_TYPE_PHONE, "phone")
}

// registerEmail is POST /uc/register/email {email, code, password, username}.
func (a *API) registerEmail(ctx context.Context, c *call) (any, error) {
	return a.register(ctx, c, ucenterpb.ContactType_CONTACT_TYPE_EMAIL, "email")
}

func (a *API) register(ctx context.Context, c *call, contact ucenterpb.ContactType, field string) (any, error) {
	request := &ucenterpb.RegisterRequest{
		ContactType: contact, Contact: c.Mandatory(field, maxContact), Code: c.Mandatory("code", 16),
		Password: c.Mandatory("password", maxPassword), Username: c.Text("username", 64), ClientIp: c.address,
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Ucenter.Register(ctx, request)
	if err != nil {
		return nil, err
	}
	return memberOf(resp.GetMember()), nil
}

// login is POST /uc/login {username, password}, where username is the e-mail address or
// the phone.
func (a *API) login(ctx context.Context, c *call) (any, error) {
	contact := "username"
	for _, name := range []string{"email", "phone"} {
		if c.Sent(name) {
			contact = name
		}
	}
	request := &ucenterpb.LoginRequest{
		Contact: c.Mandatory(contact, maxContact), Password: c.Mandatory("password", maxPassword), ClientIp: c.address,
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Ucenter.Login(ctx, request)
	if err != nil {
		return nil, err
	}
	return struct {
		session
		Member member `json:"member"`
	}{sessionOf(resp.GetSession()), memberOf(resp.GetMember())}, nil
}

// refresh is POST /uc/refresh {refreshToken}.
func (a *API) refresh(ctx context.Context, c *call) (any, error) {
	token := c.Mandatory("refreshToken", maxTokenBytes)
	if err := c.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Ucenter.RefreshSession(ctx, &ucenterpb.RefreshSessionRequest{RefreshToken: token})
	if err != nil {
		return nil, err
	}
	return sessionOf(resp.GetSession()), nil
}

// logout is POST /uc/logout.
func (a *API) logout(ctx context.Context, c *call) (any, error) {
	if c.token == "" {
		return nil, envelope.ErrNotLoggedIn
	}
	_, err := a.backends.Ucenter.Logout(ctx, &ucenterpb.LogoutRequest{AccessToken: c.token})
	return nil, err
}

// checkLogin is /uc/check/login: true or false, never 4000.
func (a *API) checkLogin(ctx context.Context, c *call) (any, error) {
	_, err := a.verify(ctx, c.token)
	if errs.KindOf(err) == errs.KindUnauthenticated {
		return false, nil
	}
	if err != nil {
		return nil, err
	}
	return true, nil
}

// getMember is GET /uc/member.
func (a *API) getMember(ctx context.Context, c *call) (any, error) {
	resp, err := a.backends.Ucenter.GetMember(ctx, &ucenterpb.GetMemberRequest{MemberId: c.member})
	if err != nil {
		return nil, err
	}
	return memberOf(resp.GetMember()), nil
}

var permissions = map[string]ucenterpb.Permission{
	"READ":     ucenterpb.Permission_PERMISSION_READ,
	"TRADE":    ucenterpb.Permission_PERMISSION_TRADE,
	"WITHDRAW": ucenterpb.Permission_PERMISSION_WITHDRAW,
}

type apiKey struct {
	APIKey      string   `json:"apiKey"`
	Label       string   `json:"label"`
	Permissions []string `json:"permissions"`
	IPList      []string `json:"ipList"`
	CreateTime  int64    `json:"createTime"`
}

func apiKeyOf(k *ucenterpb.ApiKey) apiKey {
	answer := apiKey{
		APIKey: k.GetKey(), Label: k.GetLabel(), Permissions: []string{}, IPList: append([]string{}, k.GetIpList()...),
		CreateTime: k.GetCreateTimeMs(),
	}
	for _, p := range k.GetPermissions() {
		answer.Permissions = append(answer.Permissions, strings.TrimPrefix(p.String(), "PERMISSION_"))
	}
	return answer
}

// createKey is POST /uc/api-key {label, permissions, ipList}. The secret is in this
// answer and in no other.
func (a *API) createKey(ctx context.Context, c *call) (any, error) {
	request := &ucenterpb.CreateApiKeyRequest{
		MemberId: c.member, Label: c.Text("label", 64), IpList: c.List("ipList", 32),
	}
	names := c.List("permissions", len(permissions))
	if err := c.Err(); err != nil {
		return nil, err
	}
	if names == nil {
		names = []string{"READ", "TRADE"}
	}
	for _, name := range names {
		permission, ok := permissions[name]
		if !ok {
			return nil, envelope.BadRequest("permissions are READ, TRADE and WITHDRAW")
		}
		request.Permissions = append(request.Permissions, permission)
	}
	resp, err := a.backends.Ucenter.CreateApiKey(ctx, request)
	if err != nil {
		return nil, err
	}
	return struct {
		apiKey
		Secret string `json:"secret"`
	}{apiKeyOf(resp.GetApiKey()), resp.GetSecret()}, nil
}

// listKeys is GET /uc/api-key.
func (a *API) listKeys(ctx context.Context, c *call) (any, error) {
	resp, err := a.backends.Ucenter.ListApiKeys(ctx, &ucenterpb.ListApiKeysRequest{MemberId: c.member})
	if err != nil {
		return nil, err
	}
	keys := make([]apiKey, len(resp.GetApiKeys()))
	for i, k := range resp.GetApiKeys() {
		keys[i] = apiKeyOf(k)
	}
	return keys, nil
}

// deleteKey is DELETE /uc/api-key/:key.
func (a *API) deleteKey(ctx context.Context, c *call) (any, error) {
	_, err := a.backends.Ucenter.DeleteApiKey(ctx, &ucenterpb.DeleteApiKeyRequest{MemberId: c.member, Key: c.path("key")})
	return nil, err
}

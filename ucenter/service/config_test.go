package service

import (
	"reflect"
	"testing"

	"github.com/zeromicro/go-zero/core/conf"
)

func TestConfig_file(t *testing.T) {
	for name, value := range map[string]string{
		"MSCOIN_INTERNAL_TOKEN": "a-token-of-twenty-four-bytes", "MSCOIN_UCENTER_DSN": "user:x@tcp(127.0.0.1:3306)/mscoin_ucenter",
		"MSCOIN_UCENTER_ACCESS_SECRET": "an-access-secret-of-32-bytes-or-more",
		"MSCOIN_UCENTER_MASTER_KEY":    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"MSCOIN_UCENTER_HASH_KEY":      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=",
	} {
		t.Setenv(name, value)
	}
	var fromFile Config
	if err := conf.Load("../etc/ucenter.yaml", &fromFile, conf.UseEnv()); err != nil {
		t.Fatal(err)
	}
	if err := fromFile.Validate(); err != nil {
		t.Fatal(err)
	}
	t.Run("a file with nothing but what must be there is enough", func(t *testing.T) {
		var minimal Config
		if err := conf.LoadFromYamlBytes([]byte(`
InternalToken: a-token-of-twenty-four-bytes
Database: {DSN: x}
AccessSecret: an-access-secret-of-32-bytes-or-more
MasterKeys: [{ID: "1", Key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}]
`), &minimal); err != nil {
			t.Fatal(err)
		}
		if err := minimal.Validate(); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(minimal.Limit, fromFile.Limit) || !reflect.DeepEqual(minimal.Sender, fromFile.Sender) {
			t.Errorf("%+v\nand %+v", minimal, fromFile)
		}
	})
	t.Run("the file, the tags and SetDefaults agree on the defaults", func(t *testing.T) {
		var fromTags Config
		if err := conf.FillDefault(&fromTags); err != nil {
			t.Fatal(err)
		}
		var fromCode Config
		fromCode.SetDefaults()
		for _, pair := range [][2]any{
			{fromFile.Session, fromCode.Session},
			{fromFile.Password, fromCode.Password},
			{fromFile.Limit, fromCode.Limit},
			{fromFile.APIKey, fromCode.APIKey},
			{fromFile.Sender, fromCode.Sender},
			{fromTags.Session, fromCode.Session},
			{fromTags.Password, fromCode.Password},
			{fromTags.Limit, fromCode.Limit},
			{fromTags.APIKey, fromCode.APIKey},
			{fromTags.Sender, fromCode.Sender},
		} {
			if !reflect.DeepEqual(pair[0], pair[1]) {
				t.Errorf("%+v\nand %+v", pair[0], pair[1])
			}
		}
	})
}

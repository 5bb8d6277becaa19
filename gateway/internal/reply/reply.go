// Package reply writes JSON answers.
package reply

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/zeromicro/go-zero/core/logx"
)

// JSON writes v with that status. A value that cannot be encoded is a defect: it is
// logged and answered with status 500 and an empty object.
func JSON(w http.ResponseWriter, status int, v any) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		logx.Errorf("reply: encode %T: %v", v, err)
		status = http.StatusInternalServerError
		buf.Reset()
		buf.WriteString("{}")
	}
	body := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	header := w.Header()
	header.Set("Content-Type", "application/json;charset=UTF-8")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		logx.Debugf("reply: client is gone: %v", err)
	}
}

package backend_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

// standby makes the node one of those of Vault Enterprise that do not write.
func (m *mount) standby() { m.system.ReplicationStateVal = consts.ReplicationPerformanceStandby }

// A node that may not write leaves storage alone, and forgets what has ended all the
// same: its memory is bounded.
func TestPeriodicOfANodeThatMayNotWrite(t *testing.T) {
	m := newMount(t)
	m.write("revoke", map[string]any{"token": m.exchange("unleased").Data["access_token"]})
	m.write("keys/main", map[string]any{"rotation_period": "2h"})
	before := jwksKeyIDs(m)
	m.standby()
	m.now = m.now.Add(800 * time.Hour)
	writes := m.storage.writes.Load()
	m.do(logical.RollbackOperation, "", nil)
	if w := m.storage.writes.Load() - writes; w != 0 {
		t.Errorf("%d writes", w)
	}
	wantEqual(t, "keys", jwksKeyIDs(m), before)
	if text := string(m.read("metrics")[logical.HTTPRawBody].([]byte)); !strings.Contains(text, `token_exchange_objects{kind="revocations"} 0`+"\n") {
		t.Error("a revocation that covers nothing is held")
	}
}

func TestWhoMayNotWrite(t *testing.T) {
	for name, c := range map[string]struct {
		state consts.ReplicationState
		local bool
		turns bool
	}{
		"alone":                               {consts.ReplicationPerformanceDisabled, false, true},
		"primary":                             {consts.ReplicationPerformancePrimary, false, true},
		"secondary":                           {consts.ReplicationPerformanceSecondary, false, false},
		"secondary, local mount":              {consts.ReplicationPerformanceSecondary, true, true},
		"performance standby":                 {consts.ReplicationPerformanceStandby, false, false},
		"performance standby, local mount":    {consts.ReplicationPerformanceStandby, true, false},
		"performance standby of a secondary":  {consts.ReplicationPerformanceStandby | consts.ReplicationPerformanceSecondary, true, false},
		"performance standby of a primary":    {consts.ReplicationPerformanceStandby | consts.ReplicationPerformancePrimary, false, false},
		"primary that replicates for a DR":    {consts.ReplicationPerformancePrimary | consts.ReplicationDRPrimary, false, true},
		"alone, and replicates for a DR site": {consts.ReplicationDRPrimary, false, true},
		"DR site":                             {consts.ReplicationDRSecondary, false, false},
	} {
		m := newMount(t)
		m.write("keys/main", map[string]any{"rotation_period": "2h"})
		m.system.ReplicationStateVal, m.system.LocalMountVal = c.state, c.local
		m.now = m.now.Add(2 * time.Hour)
		m.do(logical.RollbackOperation, "", nil)
		if turns := strings.Contains(m.log.String(), "key rotated"); turns != c.turns {
			t.Errorf("%s: turns keys: %t", name, turns)
		}
	}
}

// The log does not tell of a rotation that storage did not take.
func TestRotationIsLoggedOnceItIsStored(t *testing.T) {
	m := newMount(t)
	m.write("keys/main", map[string]any{"rotation_period": "2h"})
	m.now = m.now.Add(2 * time.Hour)
	m.storage.failPut = func(path string) bool { return strings.HasPrefix(path, "key/") }
	if _, err := m.request(logical.RollbackOperation, "", nil); err == nil {
		t.Error("the failure is hidden")
	}
	if strings.Contains(m.log.String(), "key rotated") {
		t.Error("a rotation is logged that did not happen")
	}
	m.storage.failPut = nil
	m.do(logical.RollbackOperation, "", nil)
	if n := strings.Count(m.log.String(), "key rotated"); n != 1 {
		t.Errorf("%d rotations are logged", n)
	}
}

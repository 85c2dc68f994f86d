-- rspamd takes SPF, DKIM, ARC and DMARC from postvouch's Authentication-Results field and checks none of it again.
--
--   postvouch postfix --filter rspamd >> /etc/rspamd/rspamd.local.lua
--
-- The results become rspamd's own symbols (R_SPF_ALLOW, DMARC_POLICY_REJECT, ...), so its scores, composites and
-- whitelists go on as they are. A letter without our field is checked by rspamd itself. docs/filters.rst has the rest.

local ID = '@authserv_id@'

-- false where this rspamd seals ARC: it needs what its own check finds.
local ARC_TOO = true

local SPF = {
  pass = 'R_SPF_ALLOW', fail = 'R_SPF_FAIL', softfail = 'R_SPF_SOFTFAIL', neutral = 'R_SPF_NEUTRAL',
  none = 'R_SPF_NA', temperror = 'R_SPF_DNSFAIL', permerror = 'R_SPF_PERMFAIL', policy = 'R_SPF_PERMFAIL',
}
local DKIM = {
  pass = 'R_DKIM_ALLOW', fail = 'R_DKIM_REJECT', none = 'R_DKIM_NA', temperror = 'R_DKIM_TEMPFAIL',
  permerror = 'R_DKIM_PERMFAIL', policy = 'R_DKIM_PERMFAIL', neutral = 'R_DKIM_PERMFAIL',
}
local TRACE = { pass = '+', fail = '-', temperror = '?', permerror = '~', policy = '~', neutral = '~' }
local ARC = {
  pass = 'ARC_ALLOW', fail = 'ARC_REJECT', none = 'ARC_NA', temperror = 'ARC_DNSFAIL', permerror = 'ARC_INVALID',
}
local DMARC = {
  pass = 'DMARC_POLICY_ALLOW', none = 'DMARC_NA', temperror = 'DMARC_DNSFAIL', permerror = 'DMARC_BAD_POLICY',
}
local DMARC_FAIL = { reject = 'DMARC_POLICY_REJECT', quarantine = 'DMARC_POLICY_QUARANTINE' }

-- What only postvouch knows: the code in X-Postvouch-Mark.
local MARKS = {
  ['spoof'] = 'POSTVOUCH_SPOOF', ['spoof-sender'] = 'POSTVOUCH_SPOOF',
  ['bad-author'] = 'POSTVOUCH_BAD_AUTHOR', ['no-author'] = 'POSTVOUCH_BAD_AUTHOR',
  ['several-authors'] = 'POSTVOUCH_BAD_AUTHOR',
}

-- The text of a quoted string whose first quote stands before ``at``, and where it goes on behind the last one.
local function quoted(value, at)
  local parts = {}
  while true do
    local text, stop, after = value:match('^([^"\\]*)(.?)()', at)
    parts[#parts + 1] = text
    if stop ~= '\\' then return table.concat(parts), after end
    parts[#parts + 1] = value:sub(after, after)
    at = after + 1
  end
end

local function after_comment(value, at)
  local depth = 1
  while depth > 0 do
    at = value:find('[()\\]', at)
    if not at then return #value + 1 end
    local mark = value:sub(at, at)
    depth = depth + (mark == '(' and 1 or mark == ')' and -1 or 0)
    at = at + (mark == '\\' and 2 or 1)
  end
  return at
end

-- The field as lists of words, a list a result, the authserv-id first. Quotes are undone, comments left out. What
-- stands in quotes came from a stranger: it ends no word and no result.
local function read(value)
  local words, word, at = {}, {}, 1
  local results = { words }
  local function end_word()
    if #word > 0 then
      words[#words + 1] = table.concat(word)
      word = {}
    end
  end
  while at <= #value do
    local run, mark = value:match('^[^%s;"(]+', at), value:sub(at, at)
    at = at + (run and #run or 1)
    if run then
      word[#word + 1] = run
    elseif mark == '"' then
      word[#word + 1], at = quoted(value, at)
    elseif mark == '(' then
      at = after_comment(value, at)
    else
      end_word()
      if mark == ';' then
        words = {}
        results[#results + 1] = words
      end
    end
  end
  end_word()
  return results
end

-- The first field of ours: postvouch removed what a stranger wrote in our name.
local function ours(task)
  for _, field in ipairs(task:get_header_full('Authentication-Results') or {}) do
    local id = field.value:match('^%s*([%w.-]+)%s*;')
    if id and id:lower() == ID then return read(field.value) end
  end
end

local function properties(words)
  local found = {}
  for i = 2, #words do
    local name, value = words[i]:match('^([%w.-]+)=(.*)$')
    if name and not found[name] then found[name] = value end
  end
  return found
end

local insert = {}

function insert.dkim(task, result, found)
  local domain = found['header.d']
  task:insert_result(DKIM[result], 1.0, domain and domain .. ':s=' .. (found['header.s'] or '') or 'postvouch')
  if domain and TRACE[result] then task:insert_result('DKIM_TRACE', 1.0, domain .. ':' .. TRACE[result]) end
end

function insert.dmarc(task, result, found)
  local symbol = DMARC[result] or DMARC_FAIL[found['policy.dmarc']] or 'DMARC_POLICY_SOFTFAIL'
  task:insert_result(symbol, 1.0, found['header.from'] or '', 'postvouch')
end

function insert.spf(task, result)
  task:insert_result(SPF[result], 1.0, 'postvouch')
end

function insert.arc(task, result)
  task:insert_result(ARC[result], 1.0, 'postvouch')
end

local KNOWN = {
  spf = SPF, dkim = DKIM, arc = ARC_TOO and ARC or {},
  dmarc = { pass = true, fail = true, none = true, temperror = true, permerror = true },
}
-- Two releases of rspamd, two names.
local CHECKS = {
  spf = { 'SPF_CHECK' }, dkim = { 'DKIM_CHECK' }, arc = { 'ARC_CHECK', 'ARC_CALLBACK' },
  dmarc = { 'DMARC_CHECK', 'DMARC_CALLBACK' },
}

local function postvouch(task)
  local results = ours(task)
  if not results then return end
  task:insert_result('POSTVOUCH', 1.0, ID)
  local seen = {}
  for i = 2, #results do
    local method, result = (results[i][1] or ''):match('^([%w-]+)=([%w-]+)$')
    -- Of two results of SPF the first is that of MAIL FROM, or of HELO where there is none.
    if method and KNOWN[method] and KNOWN[method][result] and (method == 'dkim' or not seen[method]) then
      insert[method](task, result, properties(results[i]))
      seen[method] = true
    end
  end
  for method in pairs(seen) do
    for _, check in ipairs(CHECKS[method]) do task:disable_symbol(check) end
  end
  local mark = (task:get_header('X-Postvouch-Mark') or ''):match('^%s*([%w-]+)')
  if mark then task:insert_result(MARKS[mark] or 'POSTVOUCH_MARK', 1.0, mark) end
end

local id = rspamd_config:register_symbol {
  name = 'POSTVOUCH_CHECK', type = 'prefilter', priority = 8, flags = 'empty', group = 'postvouch', callback = postvouch,
}
local scores = {
  POSTVOUCH = { 0.0, 'the results are those of postvouch' },
  POSTVOUCH_SPOOF = { 8.0, 'a domain of ours in From: or as the sender, and nothing proves it' },
  POSTVOUCH_BAD_AUTHOR = { 3.0, 'From: does not hold exactly one valid address' },
  POSTVOUCH_MARK = { 1.0, 'marked by postvouch for another reason' },
}
for name, score in pairs(scores) do
  rspamd_config:register_symbol {
    name = name, type = 'virtual', parent = id, group = 'postvouch', score = score[1], description = score[2],
  }
end

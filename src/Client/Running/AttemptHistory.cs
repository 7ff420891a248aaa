using System.Security.Cryptography;
using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Running;

/// <summary>
/// What a run has already handed to the user: log lines, tokens and calls of the user's functions cannot be taken back. If the job runs
/// again, because it lost its worker, the repeated ones are not handed over twice. The service seeds the random numbers of a job by its
/// id, so that every attempt generates the same.
/// </summary>
internal sealed class AttemptHistory
{
    /// <summary>The bytes of answers that are kept for a later attempt.</summary>
    private const int MaxAnswerBytes = 64 << 20;

    private readonly Dictionary<(uint Trace, uint Invoke, uint Row), List<long>> _tokens = [];
    private readonly Dictionary<(uint Trace, uint Invoke, uint Row), int> _tokenCounts = [];
    private readonly List<(byte[] Request, LocalReply Reply)> _answers = [];
    private int _logs, _newLogs, _nextAnswer, _answerBytes;
    private bool _hasOtherTokens;

    /// <summary>The job starts over.</summary>
    public void OnRestart()
    {
        (_logs, _nextAnswer) = (0, 0);
        _tokenCounts.Clear();
    }

    /// <summary>Counts a log line. Returns false if an earlier attempt has logged it.</summary>
    public bool IsNewLog()
    {
        if (++_logs <= _newLogs) return false;
        _newLogs = _logs;
        return true;
    }

    /// <summary>Counts a token. Returns false if an earlier attempt has generated it.</summary>
    /// <param name="isOther">True for the first token that differs from that of an earlier attempt.</param>
    public bool IsNewToken(NewToken token, out bool isOther)
    {
        isOther = false;
        var row = (token.Trace, token.Invoke, token.Row);
        if (!_tokens.TryGetValue(row, out List<long>? known)) _tokens[row] = known = [];
        int at = _tokenCounts[row] = _tokenCounts.GetValueOrDefault(row) + 1;
        if (at <= known.Count && known[at - 1] == token.Id) return false;
        if (at <= known.Count)
        {
            isOther = !_hasOtherTokens;
            _hasOtherTokens = true;
            known.RemoveRange(at - 1, known.Count - at + 1);
        }
        known.Add(token.Id);
        return true;
    }

    /// <summary>Returns the answer that an earlier attempt got to the same call, or null.</summary>
    public LocalReply? FindAnswer(LocalRequest request)
    {
        if (_nextAnswer >= _answers.Count || !_answers[_nextAnswer].Request.AsSpan().SequenceEqual(Identify(request))) return null;
        LocalReply reply = _answers[_nextAnswer++].Reply.Clone();
        reply.Ticket = request.Ticket;
        return reply;
    }

    /// <summary>Keeps an answer.</summary>
    public void AddAnswer(LocalRequest request, LocalReply reply)
    {
        // what an earlier attempt asked from here on was something else
        if (_nextAnswer < _answers.Count) _answers.RemoveRange(_nextAnswer, _answers.Count - _nextAnswer);
        _answerBytes += reply.CalculateSize();
        if (_answerBytes > MaxAnswerBytes) return;
        _answers.Add((Identify(request), reply));
        _nextAnswer = _answers.Count;
    }

    private static byte[] Identify(LocalRequest request) =>
        SHA256.HashData(new LocalRequest { Callback = request.Callback, Values = { request.Values } }.ToByteArray());
}

using System.Security.Cryptography;

namespace Ndif.Workbench.Sessions;

/// <summary>
/// The sessions by the random id in the browser's cookie. They exist in memory only, and end when they were not used for
/// <see cref="IdleTime"/>. There are at most <see cref="MaxSessions"/>: a new one displaces the one without an entered key that was not
/// used for the longest time, so that somebody who loads the page again and again ends no session with a key.
/// </summary>
internal sealed class SessionStore : IDisposable
{
    public const int MaxSessions = 1000, MaxSessionsPerKey = 20;

    public static readonly TimeSpan IdleTime = TimeSpan.FromHours(12);

    private static readonly TimeSpan _cleanupInterval = TimeSpan.FromMinutes(10);

    private readonly WorkbenchOptions _options;
    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, (WorkbenchSession Session, DateTimeOffset Used)> _sessions = [];
    private readonly ITimer _cleanup;

    public SessionStore(WorkbenchOptions options, TimeProvider time)
    {
        (_options, _time) = (options, time);
        _cleanup = time.CreateTimer(_ => RemoveIdle(), null, _cleanupInterval, _cleanupInterval);
    }

    /// <summary>The number of sessions.</summary>
    public int Count
    {
        get
        {
            lock (_lock) return _sessions.Count;
        }
    }

    /// <summary>The session of this id; null if there is none or it has ended.</summary>
    public WorkbenchSession? Find(string? id)
    {
        lock (_lock)
        {
            if (id is null || !_sessions.TryGetValue(id, out var entry)) return null;
            if (IsIdle(entry.Used))
            {
                _sessions.Remove(id);
                return null;
            }
            _sessions[id] = (entry.Session, _time.GetUtcNow());
            return entry.Session;
        }
    }

    /// <summary>Begins a session.</summary>
    /// <returns>Its id: 32 random bytes; null if there are <see cref="MaxSessions"/> with a key.</returns>
    public string? Create()
    {
        string id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        lock (_lock)
        {
            if (_sessions.Count >= MaxSessions)
            {
                string? oldest = _sessions.Where(entry => !entry.Value.Session.HasEnteredKey).OrderBy(entry => entry.Value.Used)
                    .Select(entry => entry.Key).FirstOrDefault();
                if (oldest is null) return null;
                _sessions.Remove(oldest);
            }
            _sessions[id] = (new WorkbenchSession(_options), _time.GetUtcNow());
        }
        return id;
    }

    /// <summary>Makes a session use a key; returns false if <see cref="MaxSessionsPerKey"/> others use it.</summary>
    public bool TrySetKey(WorkbenchSession session, string key)
    {
        lock (_lock)
        {
            int others = _sessions.Values.Count(entry => entry.Session != session && entry.Session.HasEntered(key));
            if (others >= MaxSessionsPerKey) return false;
        }
        session.SetKey(key); // pages handle the change, so not while the lock is held
        return true;
    }

    /// <summary>Ends the sessions that were not used for <see cref="IdleTime"/>, so that their keys do not stay in memory.</summary>
    public void RemoveIdle()
    {
        lock (_lock)
        {
            foreach ((string id, (_, DateTimeOffset used)) in _sessions)
                if (IsIdle(used)) _sessions.Remove(id);
        }
    }

    public void Dispose() => _cleanup.Dispose();

    private bool IsIdle(DateTimeOffset used) => _time.GetUtcNow() - used > IdleTime;
}

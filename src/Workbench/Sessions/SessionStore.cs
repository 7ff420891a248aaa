using System.Collections.Concurrent;
using System.Security.Cryptography;

namespace Ndif.Workbench.Sessions;

/// <summary>
/// The sessions by the random id in the browser's cookie. They exist in memory only, and end when they were not used for
/// <see cref="IdleTime"/>.
/// </summary>
internal sealed class SessionStore(WorkbenchOptions options, TimeProvider time)
{
    public static readonly TimeSpan IdleTime = TimeSpan.FromHours(12);

    private readonly ConcurrentDictionary<string, (WorkbenchSession Session, DateTimeOffset Used)> _sessions = new();

    /// <summary>The number of sessions.</summary>
    public int Count => _sessions.Count;

    /// <summary>The session of this id; null if there is none or it has ended.</summary>
    public WorkbenchSession? Find(string? id)
    {
        if (id is null || !_sessions.TryGetValue(id, out var entry)) return null;
        if (time.GetUtcNow() - entry.Used > IdleTime)
        {
            _sessions.TryRemove(id, out _);
            return null;
        }
        _sessions[id] = (entry.Session, time.GetUtcNow());
        return entry.Session;
    }

    /// <summary>Begins a session, and removes those that have ended.</summary>
    /// <returns>Its id: 32 random bytes.</returns>
    public string Create()
    {
        foreach ((string old, (_, DateTimeOffset used)) in _sessions)
            if (time.GetUtcNow() - used > IdleTime) _sessions.TryRemove(old, out _);
        string id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        _sessions[id] = (new WorkbenchSession(options), time.GetUtcNow());
        return id;
    }
}

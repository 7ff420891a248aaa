namespace Ndif.Models;

/// <summary>
/// Stands between a module's caller and its forward, for the pass that runs on this thread. The engine derives from it; the
/// parity command and tests do too.
/// </summary>
public abstract class SiteObserver
{
    [ThreadStatic]
    private static SiteObserver?[]? t_observers;

    /// <summary>
    /// Calls a module: an observer may change the arguments, must call <see cref="SiteModule.Run"/> unless it skips the module,
    /// and may change the result. What it returns must belong to the current dispose scope.
    /// </summary>
    public abstract object? Call(SiteModule module, Arguments arguments);

    /// <summary>The observer of the module with this index on this thread.</summary>
    public static SiteObserver? Of(int index) => t_observers is { } observers ? observers[index] : null;

    /// <summary>Whether a module within this one is watched on this thread; not the module itself.</summary>
    internal static bool IsWatchedWithin(SiteModule module)
    {
        if (t_observers is not { } observers) return false;
        for (int index = module.Index + 1; index <= module.Last; index++)
            if (observers[index] is not null) return true;
        return false;
    }

    /// <summary>Watches modules (by <see cref="SiteModule.Index"/>) on this thread until the result is disposed.</summary>
    public static Watching Watch(SiteObserver?[]? byIndex)
    {
        var watching = new Watching(t_observers);
        t_observers = byIndex;
        return watching;
    }

    public readonly struct Watching : IDisposable
    {
        private readonly SiteObserver?[]? _before;

        internal Watching(SiteObserver?[]? before) => _before = before;

        public void Dispose() => t_observers = _before;
    }
}

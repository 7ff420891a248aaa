namespace Ndif.Models;

/// <summary>
/// Stands between a module's caller and its forward, for the pass that runs on this thread. The engine derives from it; the
/// parity command and tests do too.
/// </summary>
public abstract class SiteObserver
{
    [ThreadStatic]
    private static SiteObserver?[]? t_observers;

    [ThreadStatic]
    private static Action? t_pause;

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

    /// <summary>Called now and then in the middle of a long operation of a module.</summary>
    internal static void Pause() => t_pause?.Invoke();

    /// <summary>Watches modules (by <see cref="SiteModule.Index"/>) on this thread until the result is disposed.</summary>
    /// <param name="pause">Called in the middle of long operations too; it may throw, to end the pass there.</param>
    public static Watching Watch(SiteObserver?[]? byIndex, Action? pause = null)
    {
        var watching = new Watching(t_observers, t_pause);
        (t_observers, t_pause) = (byIndex, pause);
        return watching;
    }

    public readonly struct Watching : IDisposable
    {
        private readonly SiteObserver?[]? _before;
        private readonly Action? _pauseBefore;

        internal Watching(SiteObserver?[]? before, Action? pauseBefore) => (_before, _pauseBefore) = (before, pauseBefore);

        public void Dispose() => (t_observers, t_pause) = (_before, _pauseBefore);
    }
}

namespace Ndif.Models;

/// <summary>
/// Stands between a module's caller and its forward, for the pass that runs on this thread. The engine derives from it; the
/// parity command and tests do too.
/// </summary>
public abstract class SiteHook
{
    [ThreadStatic]
    private static SiteHook?[]? _hooks;

    [ThreadStatic]
    private static Action? _checkCancellation;

    /// <summary>
    /// Calls a module: an observer may change the arguments, must call <see cref="SiteModule.Run"/> unless it skips the module,
    /// and may change the result. What it returns must belong to the current dispose scope.
    /// </summary>
    public abstract object? Call(SiteModule module, Arguments arguments);

    /// <summary>The observer of the module with this index on this thread.</summary>
    public static SiteHook? ForModule(int index) => _hooks is { } observers ? observers[index] : null;

    /// <summary>Whether a module within this one is watched on this thread; not the module itself.</summary>
    internal static bool HasHooksInside(SiteModule module)
    {
        if (_hooks is not { } observers) return false;
        for (int index = module.Index + 1; index <= module.LastDescendantIndex; index++)
            if (observers[index] is not null) return true;
        return false;
    }

    /// <summary>Called now and then in the middle of a long operation of a module.</summary>
    internal static void CheckCancellation() => _checkCancellation?.Invoke();

    /// <summary>Watches modules (by <see cref="SiteModule.Index"/>) on this thread until the result is disposed.</summary>
    /// <param name="checkCancellation">Called in the middle of long operations too; it may throw, to end the pass there.</param>
    public static Registration Register(SiteHook?[]? hooksByModuleIndex, Action? checkCancellation = null)
    {
        var watching = new Registration(_hooks, _checkCancellation);
        (_hooks, _checkCancellation) = (hooksByModuleIndex, checkCancellation);
        return watching;
    }

    public readonly struct Registration : IDisposable
    {
        private readonly SiteHook?[]? _previousHooks;
        private readonly Action? _previousCheck;

        internal Registration(SiteHook?[]? previousHooks, Action? previousCheck) => (_previousHooks, _previousCheck) = (previousHooks, previousCheck);

        public void Dispose() => (_hooks, _checkCancellation) = (_previousHooks, _previousCheck);
    }
}

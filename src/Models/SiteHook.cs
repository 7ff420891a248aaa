using Ndif.Models.CpuKernels;

namespace Ndif.Models;

/// <summary>
/// Intercepts the calls of modules in the pass that runs on the current thread, between the caller of a module and its forward. The
/// engine derives from this class; the parity command and tests do too.
/// </summary>
public abstract class SiteHook
{
    [ThreadStatic]
    private static SiteHook?[]? _hooks;

    [ThreadStatic]
    private static Action? _onPreemptionPoint;

    /// <summary>
    /// Calls a module. A hook may change the arguments, must call <see cref="SiteModule.Run"/> unless it skips the module, and may
    /// change the result. The result must belong to the current dispose scope.
    /// </summary>
    public abstract object? Call(SiteModule module, Arguments arguments);

    /// <summary>The hook of the module with this index on the current thread, or null.</summary>
    public static SiteHook? ForModule(int index) => _hooks is { } hooks ? hooks[index] : null;

    /// <summary>Whether a module inside this one (not the module itself) has a hook on the current thread.</summary>
    internal static bool HasHooksInside(SiteModule module) => HasHooks(module.Index + 1, module.LastDescendantIndex);

    /// <summary>Whether one of the modules from one index to another has a hook on the current thread.</summary>
    internal static bool HasHooks(int first, int last)
    {
        if (_hooks is not { } hooks) return false;
        for (int index = first; index <= last; index++)
            if (hooks[index] is not null) return true;
        return false;
    }

    /// <summary>
    /// Long operations of a module call this periodically. Passes of others may run in it; it throws to end the pass.
    /// </summary>
    internal static void OnPreemptionPoint()
    {
        if (_onPreemptionPoint is not { } callback) return;
        using (ScratchBuffer.Suspend()) callback();
    }

    /// <summary>
    /// Registers hooks of modules (by <see cref="SiteModule.Index"/>) on the current thread until the result is disposed.
    /// </summary>
    /// <param name="onPreemptionPoint">Called during long operations: it may run other passes, or throw to end this one.</param>
    public static Registration Register(SiteHook?[]? hooksByModuleIndex, Action? onPreemptionPoint = null)
    {
        var registration = new Registration(_hooks, _onPreemptionPoint);
        (_hooks, _onPreemptionPoint) = (hooksByModuleIndex, onPreemptionPoint);
        return registration;
    }

    public readonly struct Registration : IDisposable
    {
        private readonly SiteHook?[]? _previousHooks;
        private readonly Action? _previousCallback;

        internal Registration(SiteHook?[]? previousHooks, Action? previousCallback) =>
            (_previousHooks, _previousCallback) = (previousHooks, previousCallback);

        public void Dispose() => (_hooks, _onPreemptionPoint) = (_previousHooks, _previousCallback);
    }
}

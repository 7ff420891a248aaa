using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.CompilerServices;
using Ndif.Engine.Interleaving;
using Ndif.Models;
using Ndif.Protocol;
using static TorchSharp.torch;

namespace Ndif.Engine.HookedModels;

/// <summary>
/// TorchSharp's typed hooks, reached for modules whose types are known only at run time. A module's argument and result types are
/// found once per closed type.
/// </summary>
internal static class TorchHooks
{
    private static readonly ConcurrentDictionary<Type, Signature?> _signatures = new();

    /// <summary>Hooks the watched modules until the result is disposed.</summary>
    public static IDisposable Attach(IReadOnlyList<nn.Module> modules, InterleavingModuleHook?[] hooks)
    {
        var attached = new HookHandles();
        for (int i = 0; i < hooks.Length; i++)
            if (hooks[i] is { } watch) attached.Add(SignatureOf(modules[i]).Attach(modules[i], watch));
        return attached;
    }

    /// <summary>Calls a module, hooks included.</summary>
    public static object? Call(nn.Module module, Arguments arguments)
    {
        Signature signature = SignatureOf(module);
        if (arguments.Keywords.Count > 0 || arguments.Positional.Length != signature.Arity)
            throw Errors.CreateException(ErrorCode.BadInput, $"{module.GetName()} takes {signature.Arity} argument(s); {arguments.Positional.Length + arguments.Keywords.Count} were given.");
        return signature.Call(module, arguments.Positional);
    }

    private static Signature SignatureOf(nn.Module module) => _signatures.GetOrAdd(module.GetType(), FindSignature)
        ?? throw Errors.CreateException(ErrorCode.Unsupported, $"{module.GetName()} cannot be watched: only modules of one or two arguments (nn.Module<T, TResult>, nn.Module<T1, T2, TResult>) can.");

    private static Signature? FindSignature(Type type)
    {
        for (Type? at = type; at is not null; at = at.BaseType)
        {
            if (!at.IsGenericType) continue;
            Type definition = at.GetGenericTypeDefinition();
            Type? signature = definition == typeof(nn.Module<,>) ? typeof(Signature<,>) : definition == typeof(nn.Module<,,>) ? typeof(Signature<,,>) : null;
            if (signature is not null) return (Signature)Activator.CreateInstance(signature.MakeGenericType(at.GetGenericArguments()))!;
        }
        return null;
    }

    /// <summary>A tuple as the engine holds it, and back.</summary>
    private static object? UnpackTuple<T>(T value) => value is ITuple tuple ? Enumerable.Range(0, tuple.Length).Select(i => tuple[i]).ToArray() : value;

    private static T PackTuple<T>(object? value, string what)
    {
        if (value is T right) return right;
        if (value is object?[] items && typeof(ITuple).IsAssignableFrom(typeof(T)) && items.Length == typeof(T).GetGenericArguments().Length)
            return (T)Activator.CreateInstance(typeof(T), items)!;
        throw Errors.CreateException(ErrorCode.BadArgument, $"{what} must be {typeof(T).Name}; it was replaced by {value?.GetType().Name ?? "nothing"}.");
    }

    private abstract class Signature
    {
        public abstract int Arity { get; }

        public abstract IEnumerable<Action> Attach(nn.Module module, InterleavingModuleHook hook);

        public abstract object? Call(nn.Module module, object?[] arguments);

        /// <summary>A hooked module runs in any case; what it was to be skipped with replaces its result.</summary>
        protected static object? CompleteCall(InterleavingModuleHook hook, List<SkippedRows>? skipped, object? result) => hook.After(skipped is [.., var last] ? last.Value : result);
    }

    private sealed class Signature<T, TResult> : Signature
    {
        public override int Arity => 1;

        public override IEnumerable<Action> Attach(nn.Module module, InterleavingModuleHook hook)
        {
            var typed = (nn.Module<T, TResult>)module;
            List<SkippedRows>? skipped = null;
            var before = typed.register_forward_pre_hook((_, x) => PackTuple<T>(hook.Before(new Arguments(UnpackTuple(x)), out skipped).First, "The module's input"));
            var after = typed.register_forward_hook((_, _, y) => PackTuple<TResult>(CompleteCall(hook, skipped, UnpackTuple(y)), "The module's output"));
            return [before.remove, after.remove];
        }

        public override object? Call(nn.Module module, object?[] arguments) => UnpackTuple(((nn.Module<T, TResult>)module).call(PackTuple<T>(arguments[0], "The input")));
    }

    private sealed class Signature<T1, T2, TResult> : Signature
    {
        public override int Arity => 2;

        public override IEnumerable<Action> Attach(nn.Module module, InterleavingModuleHook hook)
        {
            var typed = (nn.Module<T1, T2, TResult>)module;
            List<SkippedRows>? skipped = null;
            var before = typed.register_forward_pre_hook((_, x, y) =>
            {
                Arguments changed = hook.Before(new Arguments(UnpackTuple(x), UnpackTuple(y)), out skipped);
                return (PackTuple<T1>(changed.Get(0), "The module's input"), PackTuple<T2>(changed.Get(1), "The module's input"));
            });
            var after = typed.register_forward_hook((_, _, _, y) => PackTuple<TResult>(CompleteCall(hook, skipped, UnpackTuple(y)), "The module's output"));
            return [before.remove, after.remove];
        }

        public override object? Call(nn.Module module, object?[] arguments) =>
            UnpackTuple(((nn.Module<T1, T2, TResult>)module).call(PackTuple<T1>(arguments[0], "The input"), PackTuple<T2>(arguments[1], "The input")));
    }

    private sealed class HookHandles : IDisposable
    {
        private readonly List<Action> _removeHooks = [];

        public void Add(IEnumerable<Action> removals) => _removeHooks.AddRange(removals);

        public void Dispose()
        {
            foreach (Action remove in _removeHooks) remove();
        }
    }
}

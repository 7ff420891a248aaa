using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.CompilerServices;
using Ndif.Engine.Interleaving;
using Ndif.Models;
using Ndif.Protocol;
using static TorchSharp.torch;

namespace Ndif.Engine.HookedModels;

/// <summary>
/// Registers TorchSharp's typed hooks on modules whose types are known only at run time. The argument and result types of a module are
/// looked up once per closed type.
/// </summary>
internal static class TorchHooks
{
    private static readonly ConcurrentDictionary<Type, Signature?> _signatures = new();

    /// <summary>Registers hooks on modules until the result is disposed.</summary>
    public static IDisposable Attach(IReadOnlyList<nn.Module> modules, InterleavingModuleHook?[] hooks)
    {
        var attached = new HookHandles();
        for (int i = 0; i < hooks.Length; i++)
            if (hooks[i] is { } hook) attached.Add(SignatureOf(modules[i]).Attach(modules[i], hook));
        return attached;
    }

    /// <summary>Calls a module, including its hooks.</summary>
    public static object? Call(nn.Module module, Arguments arguments)
    {
        Signature signature = SignatureOf(module);
        if (arguments.Keywords.Count > 0 || arguments.Positional.Length != signature.Arity)
            throw Errors.CreateException(ErrorCode.BadInput,
                $"{module.GetName()} takes {signature.Arity} argument(s); {arguments.Positional.Length + arguments.Keywords.Count} were "
                + "given.");
        return signature.Call(module, arguments.Positional);
    }

    private static Signature SignatureOf(nn.Module module) => _signatures.GetOrAdd(module.GetType(), FindSignature)
        ?? throw Errors.CreateException(ErrorCode.Unsupported,
            $"{module.GetName()} cannot be hooked: only modules of one or two "
            + "arguments (nn.Module<T, TResult>, nn.Module<T1, T2, TResult>) can.");

    private static Signature? FindSignature(Type type)
    {
        for (Type? baseType = type; baseType is not null; baseType = baseType.BaseType)
        {
            if (!baseType.IsGenericType) continue;
            Type definition = baseType.GetGenericTypeDefinition();
            Type? signature = definition == typeof(nn.Module<,>) ? typeof(Signature<,>) : definition == typeof(nn.Module<,,>)
                ? typeof(Signature<,,>) : null;
            if (signature is not null)
                return (Signature)Activator.CreateInstance(signature.MakeGenericType(baseType.GetGenericArguments()))!;
        }
        return null;
    }

    /// <summary>Converts a value tuple to the tuple of the engine (<c>object?[]</c>).</summary>
    private static object? UnpackTuple<T>(T value) => value is ITuple tuple
        ? Enumerable.Range(0, tuple.Length).Select(i => tuple[i]).ToArray() : value;

    /// <summary>Converts a value of the engine to the type that the module expects.</summary>
    private static T PackTuple<T>(object? value, string what)
    {
        if (value is T typed) return typed;
        if (value is object?[] items && typeof(ITuple).IsAssignableFrom(typeof(T))
            && items.Length == typeof(T).GetGenericArguments().Length)
            return (T)Activator.CreateInstance(typeof(T), items)!;
        throw Errors.CreateException(ErrorCode.BadArgument,
            $"{what} must be {typeof(T).Name}; it was replaced by {value?.GetType().Name ?? "nothing"}.");
    }

    private abstract class Signature
    {
        public abstract int Arity { get; }

        public abstract IEnumerable<Action> Attach(nn.Module module, InterleavingModuleHook hook);

        public abstract object? Call(nn.Module module, object?[] arguments);

        /// <summary>TorchSharp's hooks cannot skip a module: it runs, and the value that skips it replaces its result.</summary>
        protected static object? CompleteCall(InterleavingModuleHook hook, IReadOnlyList<SkippedRows>? skipped, object? result) =>
            hook.After(skipped is [.., var last] ? last.Value : result);
    }

    private sealed class Signature<T, TResult> : Signature
    {
        public override int Arity => 1;

        public override IEnumerable<Action> Attach(nn.Module module, InterleavingModuleHook hook)
        {
            var typed = (nn.Module<T, TResult>)module;
            IReadOnlyList<SkippedRows>? skipped = null;
            var before = typed.register_forward_pre_hook((_, x) =>
                PackTuple<T>(hook.Before(new Arguments(UnpackTuple(x)), out skipped).First, "The module's input"));
            var after = typed.register_forward_hook((_, _, y) =>
                PackTuple<TResult>(CompleteCall(hook, skipped, UnpackTuple(y)), "The module's output"));
            return [before.remove, after.remove];
        }

        public override object? Call(nn.Module module, object?[] arguments) =>
            UnpackTuple(((nn.Module<T, TResult>)module).call(PackTuple<T>(arguments[0], "The input")));
    }

    private sealed class Signature<T1, T2, TResult> : Signature
    {
        public override int Arity => 2;

        public override IEnumerable<Action> Attach(nn.Module module, InterleavingModuleHook hook)
        {
            var typed = (nn.Module<T1, T2, TResult>)module;
            IReadOnlyList<SkippedRows>? skipped = null;
            var before = typed.register_forward_pre_hook((_, x, y) =>
            {
                Arguments changed = hook.Before(new Arguments(UnpackTuple(x), UnpackTuple(y)), out skipped);
                return (PackTuple<T1>(changed.Get(0), "The module's input"), PackTuple<T2>(changed.Get(1), "The module's input"));
            });
            var after = typed.register_forward_hook((_, _, _, y) =>
                PackTuple<TResult>(CompleteCall(hook, skipped, UnpackTuple(y)), "The module's output"));
            return [before.remove, after.remove];
        }

        public override object? Call(nn.Module module, object?[] arguments) =>
            UnpackTuple(((nn.Module<T1, T2, TResult>)module)
                .call(PackTuple<T1>(arguments[0], "The input"), PackTuple<T2>(arguments[1], "The input")));
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

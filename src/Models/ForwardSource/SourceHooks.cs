using System.Runtime.CompilerServices;
using TorchSharp;

namespace Ndif.Models.ForwardSource;

/// <summary>Observes one operation for one run.</summary>
public abstract class SourceOperationHook
{
    /// <summary>
    /// Calls the operation: an observer may change the arguments, must call <paramref name="run"/> unless it skips the operation, and may
    /// change the result. Arrays and tuples come as <c>object?[]</c>.
    /// </summary>
    public abstract object? Call(Arguments arguments, Func<Arguments, object?> run);
}

/// <summary>
/// The hooks of a run on the operations of one function, which the instrumented copy calls at each operation. An operation without a hook,
/// and without hooks inside, is only computed.
/// </summary>
public sealed class SourceHooks
{
    private readonly SourceOperationHook?[] _hooks;
    private readonly SourceHooks?[] _inside;
    private readonly SourceOperation?[] _operations;
    private readonly SourceFunction _function;

    private SourceHooks(SourceFunction function)
    {
        _function = function;
        _hooks = new SourceOperationHook?[function.IdCount];
        _inside = new SourceHooks?[function.IdCount];
        _operations = new SourceOperation?[function.IdCount];
        for (int i = 0; i < function.Operations.Count; i++) _operations[function.IdAt(i)] = function.Operations[i];
    }

    /// <summary>Registers hooks on operations of a forward, by their index in its tree.</summary>
    public static SourceHooks Create(SourceTree tree, IReadOnlyDictionary<int, SourceOperationHook> hooks)
    {
        var root = new SourceHooks(tree.Root);
        foreach (var (index, observer) in hooks)
        {
            SourceHooks at = root;
            string[] names = tree.Sites[index].Path.Split('.');
            for (int depth = 0; depth < names.Length - 1; depth++)
            {
                int id = at.IdOf(names[depth]);
                at = at._inside[id] ??= new SourceHooks(at._operations[id]!.Inside!());
            }
            at._hooks[at._function.IdAt(tree.Sites[index].Position)] = observer;
        }
        return root;
    }

    /// <summary>One operation, in an instrumented copy.</summary>
    /// <param name="run">Computes the operation from its arguments, with the hooks inside the function that it calls.</param>
    public T Call<T>(int operation, object?[] given, Func<object?[], SourceHooks?, T> run)
    {
        SourceHooks? inside = _inside[operation];
        if (_hooks[operation] is not { } observer) return run(given, inside);
        IReadOnlyList<SourceInput> inputs = _operations[operation]!.Inputs;
        int positional = 0;
        while (positional < given.Length && inputs[positional].Keyword is null) positional++;
        var arguments = new Arguments(Array.ConvertAll(given[..positional], Unpack),
            [.. inputs.Skip(positional).Zip(given.Skip(positional), (input, value) => KeyValuePair.Create(input.Keyword!, Unpack(value)))]);
        object? result = observer.Call(arguments, changed =>
        {
            object?[] values = [.. changed.Positional, .. changed.Keywords.Select(k => k.Value)];
            for (int i = 0; i < values.Length; i++) values[i] = Repack(values[i], given[i]);
            return Unpack(run(values, inside));
        });
        return ConvertResult<T>(result, operation);
    }

    private int IdOf(string name)
    {
        for (int i = 0; i < _function.Operations.Count; i++)
            if (_function.Operations[i].Name == name) return _function.IdAt(i);
        throw new ArgumentException($"{_function.Name} has no operation {name}.", nameof(name));
    }

    /// <summary>Lists and tuples as the engine has them.</summary>
    private static object? Unpack(object? value) => value switch
    {
        object?[] and not torch.Tensor[] => value,
        IEnumerable<torch.Tensor> tensors => tensors.ToArray<object?>(),
        ITuple tuple => Enumerable.Range(0, tuple.Length).Select(i => tuple[i]).ToArray(),
        _ => value,
    };

    /// <summary>A changed argument in the form of the original.</summary>
    private static object? Repack(object? value, object? original) => (value, original) switch
    {
        (object?[] items, List<torch.Tensor>) => items.Cast<torch.Tensor>().ToList(),
        (object?[] items, IEnumerable<torch.Tensor>) => Array.ConvertAll(items, item => (torch.Tensor)item!),
        (object?[] items, ITuple tuple) => Activator.CreateInstance(tuple.GetType(), items),
        _ => value,
    };

    private T ConvertResult<T>(object? value, int operation)
    {
        object? closed = value switch
        {
            object?[] items when typeof(T) == typeof(torch.Tensor[]) && items.All(i => i is torch.Tensor) =>
                Array.ConvertAll(items, i => (torch.Tensor)i!),
            object?[] items when typeof(ITuple).IsAssignableFrom(typeof(T)) && items.Length == typeof(T).GetGenericArguments().Length =>
                Activator.CreateInstance(typeof(T), items),
            torch.Tensor only when typeof(T) == typeof(object?[]) => new object?[] { only },
            _ => value,
        };
        string expected = typeof(T) == typeof(torch.Tensor) ? "a tensor" : "a tuple of as many values as the operation gives";
        return closed is T result ? result : throw Errors.CreateException(Protocol.ErrorCode.BadArgument,
            $"The output of `{_operations[operation]!.Name}` was replaced by {value?.GetType().Name ?? "nothing"}; it must be {expected}.");
    }
}

using Ndif.Engine.Kernels;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Kernels;

/// <summary>
/// One line of Cases/*.txt:
/// <code>
/// add([1., 2.], 3) == [4., 5.]            the value, with its element type
/// rand([2, 3]) ?? [2, 3]                  a tensor of that shape
/// add([1.], [1., 2.]) !! ShapeMismatch    an error; the message contains the text after the code
/// </code>
/// Where the schema requires a tensor, a list is converted to one.
/// </summary>
internal sealed class KernelCase
{
    private readonly (string Name, List<object?> Arguments, Dictionary<string, object?> Keywords) _call;
    private readonly string _expected;

    public KernelCase(string line)
    {
        Line = line;
        int at = -1;
        foreach (string kind in (string[])[" == ", " ?? ", " !! "])
            if ((at = line.IndexOf(kind, StringComparison.Ordinal)) >= 0) { Kind = kind.Trim(); break; }
        if (at < 0) throw new FormatException(line);
        _call = new CaseReader(line[..at]).Call();
        _expected = line[(at + 4)..].Trim();
        Schema = OpTable.Get(_call.Name);
    }

    public string Line { get; }

    public string Kind { get; } = "";

    public OpSchema Schema { get; }

    public static IEnumerable<string> Lines()
    {
        var assembly = typeof(KernelCase).Assembly;
        foreach (string name in assembly.GetManifestResourceNames().Where(n => n.StartsWith("Cases/", StringComparison.Ordinal)).Order())
        {
            using var reader = new StreamReader(assembly.GetManifestResourceStream(name)!);
            while (reader.ReadLine() is { } line)
                if (line.Length > 0 && !line.StartsWith('#')) yield return line;
        }
    }

    /// <summary>Binds the arguments and creates their tensors; call it in a dispose scope.</summary>
    public object?[] Bind(KernelContext context)
    {
        object?[] bound =
            ArgumentBinder.Bind(Schema, [.. _call.Arguments.Select(DeferArgument)],
                _call.Keywords.ToDictionary(k => k.Key, k => DeferArgument(k.Value)));
        for (int i = 0; i < bound.Length; i++)
            bound[i] = MakeArgument(bound[i] is UnboundArgument standing ? standing.Value : bound[i], Schema.Parameters[i].Type, context);
        return bound;
    }

    public object? Run(object?[] bound, KernelContext context) => KernelTable.Run(Schema, bound, context);

    /// <summary>The shape of a '??' case, or the value of an '==' case.</summary>
    public object? Expected() => new CaseReader(_expected).Value();

    /// <summary>The code of a '!!' case and a part of its message.</summary>
    public (ErrorCode Code, string Part) Failure()
    {
        string[] parts = _expected.Split(' ', 2);
        return (Enum.Parse<ErrorCode>(parts[0]), parts.Length > 1 ? parts[1] : "");
    }

    /// <summary>Converts arguments that the binder knows only after they are created.</summary>
    private static object? DeferArgument(object? value) => value is TensorLiteral or ScalarType or SliceValue or EllipsisValue
        || value is System.Collections.IList ? new UnboundArgument(value) : value;

    private static object? MakeArgument(object? value, OpType type, KernelContext context) => value switch
    {
        TensorLiteral typed when typed.Type == ScalarType.ComplexFloat32 =>
            NestedLists.ToTensor(typed.Data, ScalarType.Float32, context.Device, context, "case").to(typed.Type),
        TensorLiteral typed => NestedLists.ToTensor(typed.Data, typed.Type, context.Device, context, "case"),
        Dictionary<string, object?> map => map.ToDictionary(e => e.Key, e => MakeArgument(e.Value, OpType.Any, context)),
        object?[] tuple => tuple.Select(item => MakeArgument(item, OpType.Any, context)).ToArray(),
        List<object?> list when type is OpType.Tensor or OpType.Operand =>
            NestedLists.ToTensor(list, null, context.Device, context, "case"),
        List<object?> list => list.Select(item => MakeArgument(item, type == OpType.Tensors ? OpType.Tensor : OpType.Any, context))
            .ToList(),
        SliceValue slice =>
            new SliceValue(MakeArgument(slice.Start, OpType.Any, context), MakeArgument(slice.Stop, OpType.Any, context),
                MakeArgument(slice.Step, OpType.Any, context)),
        _ => value,
    };
}

/// <summary>An argument that the binder does not inspect, like a node of a program.</summary>
internal sealed record UnboundArgument(object? Value);

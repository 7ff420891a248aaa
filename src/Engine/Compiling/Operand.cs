using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Protocol;

namespace Ndif.Engine.Compiling;

/// <summary>An argument of a statement in the form in which it is evaluated. A running program reads no protobuf messages.</summary>
internal abstract record Operand
{
    public abstract object? Evaluate(ValueSlots slots);

    public static Operand Of(Argument argument) => argument.ValueCase switch
    {
        Argument.ValueOneofCase.Node => new NodeOperand(argument.Node),
        Argument.ValueOneofCase.Constant => new ConstantOperand(argument.Constant),
        Argument.ValueOneofCase.Boolean => new LiteralOperand(argument.Boolean),
        Argument.ValueOneofCase.Integer => new LiteralOperand(argument.Integer),
        Argument.ValueOneofCase.Real => new LiteralOperand(argument.Real),
        Argument.ValueOneofCase.Text => new LiteralOperand(argument.Text),
        Argument.ValueOneofCase.Ellipsis => new LiteralOperand(EllipsisValue.Instance),
        Argument.ValueOneofCase.Dtype => new LiteralOperand((DType)argument.Dtype),
        Argument.ValueOneofCase.Device => new LiteralOperand(argument.Device),
        Argument.ValueOneofCase.Slice => new SliceOperand(
            OptionalOperand(argument.Slice.Start), OptionalOperand(argument.Slice.Stop), OptionalOperand(argument.Slice.Step)),
        Argument.ValueOneofCase.List => new ListOperand([.. argument.List.Items.Select(Of)]),
        Argument.ValueOneofCase.Tuple => new TupleOperand([.. argument.Tuple.Items.Select(Of)]),
        Argument.ValueOneofCase.Map => new MapOperand([.. argument.Map.Entries.Select(e => KeyValuePair.Create(e.Key, Of(e.Value)))]),
        _ => new LiteralOperand(null),
    };

    private static Operand OptionalOperand(Argument? part) => part is null ? new LiteralOperand(null) : Of(part);
}

internal sealed record LiteralOperand(object? Value) : Operand
{
    public override object? Evaluate(ValueSlots slots) => Value;
}

internal sealed record NodeOperand(uint Node) : Operand
{
    public override object? Evaluate(ValueSlots slots) => slots[Node];
}

internal sealed record ConstantOperand(uint Index) : Operand
{
    public override object Evaluate(ValueSlots slots) => slots.Constant(Index);
}

internal sealed record SliceOperand(Operand Start, Operand Stop, Operand Step) : Operand
{
    public override object Evaluate(ValueSlots slots) => new SliceValue(Start.Evaluate(slots), Stop.Evaluate(slots), Step.Evaluate(slots));
}

internal sealed record ListOperand(Operand[] Items) : Operand
{
    public override object Evaluate(ValueSlots slots) => Items.Select(i => i.Evaluate(slots)).ToList();
}

internal sealed record TupleOperand(Operand[] Items) : Operand
{
    public override object Evaluate(ValueSlots slots) => Array.ConvertAll(Items, i => i.Evaluate(slots));
}

internal sealed record MapOperand(KeyValuePair<string, Operand>[] Entries) : Operand
{
    public override object Evaluate(ValueSlots slots) => Entries.ToDictionary(e => e.Key, e => e.Value.Evaluate(slots));
}

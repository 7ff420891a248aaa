using System.Reflection;
using Ndif.Protocol.Ops;

namespace Ndif.Protocol.Tests.Ops;

/// <summary>
/// Every operation is available as a method or operator of Value or as a method of Op, and the calls that they record can be bound.
/// </summary>
public sealed class OpCoverageTests
{
    private const BindingFlags Public = BindingFlags.Public | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private static readonly List<string> _notOperations = ["op_Implicit", "op_Explicit", "ToString", "Save", "Deconstruct"];

    [Fact]
    public void EveryOperation_CanBeWritten_AndBinds()
    {
        // the recorder is internal to the client, so the test gets it by reflection
        Type recorderType = typeof(Value).Assembly.GetType("Ndif.Recording.Recorder", throwOnError: true)!;
        object recorder = recorderType.GetMethod("Begin")!.Invoke(null, [new ModelRef { Id = "test" }])!;
        var program = (Program)recorderType.GetProperty("Program")!.GetValue(recorder)!;
        try
        {
            Value value = Op.Zeros([2]);
            foreach (MethodInfo method in typeof(Value).GetMethods(Public).Concat(typeof(Op).GetMethods(Public)))
            {
                if (_notOperations.Contains(method.Name) || method.IsGenericMethod) continue;
                object?[] few = [.. method.GetParameters().Select(p => p.IsOptional ? Type.Missing : Sample(p, value))];
                object?[] all = [.. method.GetParameters().Select(p => Sample(p, value))];
                object? on = method.IsStatic ? null : value;
                method.Invoke(on, BindingFlags.OptionalParamBinding, null, few, null);
                method.Invoke(on, all);
            }
        }
        finally
        {
            recorderType.GetMethod("End")!.Invoke(recorder, null);
        }
        Call[] calls = [.. program.Nodes.Where(n => n.Call is not null).Select(n => n.Call)];
        Assert.Empty(OpTable.Rows.Keys.Except(calls.Select(c => c.Op)).Order());
        foreach (Call call in calls)
            Assert.Equal(OpTable.Get(call.Op).Parameters.Count, ArgumentBinder.Bind(call).Length);
    }

    private static object? Sample(System.Reflection.ParameterInfo parameter, Value value)
    {
        Type type = Nullable.GetUnderlyingType(parameter.ParameterType) ?? parameter.ParameterType;
        return type == typeof(Value) ? value
            : type == typeof(Ints) ? (Ints)1
            : type == typeof(bool) ? true
            : type == typeof(string) ? "text"
            : type == typeof(DType) ? DType.Float32
            : type == typeof(Idx[]) ? new Idx[] { 0 }
            : type == typeof(int) ? 1
            : type == typeof(IReadOnlyList<int>) ? new[] { 1 }
            : type == typeof(long) ? 1L
            : type == typeof(double) ? 1.0
            : type.IsAssignableFrom(typeof(Value[])) ? new[] { value, value }
            : throw new NotSupportedException($"{parameter.Member.Name} takes {type} {parameter.Name}: give a sample here.");
    }
}

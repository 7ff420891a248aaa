using Google.Protobuf.Reflection;

namespace Ndif.Protocol.Tests.Wire;

/// <summary>Later versions of the service must read today's programs, so field numbers and types must not change.</summary>
public sealed class WireFormatTests
{
    [Fact]
    public void NumbersOnTheWire_AreAppendOnly() => ApprovedList.AssertAppendOnly("wire", Files().SelectMany(Lines));

    [Fact]
    public void ElementTypes_HaveTheirWireNumbers()
    {
        foreach (DType type in Enum.GetValues<DType>()) Assert.True(Enum.IsDefined((DataType)type), $"{type}");
        Assert.Equal(Enum.GetValues<DataType>().Length - 1, Enum.GetValues<DType>().Length);
    }

    private static IEnumerable<FileDescriptor> Files() =>
        typeof(Program).Assembly.GetTypes().Where(t => t.Name.EndsWith("Reflection", StringComparison.Ordinal))
            .Select(t => t.GetProperty("Descriptor")?.GetValue(null)).OfType<FileDescriptor>().OrderBy(f => f.Name, StringComparer.Ordinal);

    private static IEnumerable<string> Lines(FileDescriptor file) =>
        file.MessageTypes.SelectMany(Lines)
            .Concat(file.EnumTypes.SelectMany(Lines))
            .Concat(file.Services.SelectMany(s => s.Methods.Select(Line)));

    private static string Line(MethodDescriptor method)
    {
        string input = (method.IsClientStreaming ? "stream " : "") + method.InputType.Name;
        string output = (method.IsServerStreaming ? "stream " : "") + method.OutputType.Name;
        return $"{method.Service.FullName}.{method.Name}({input}) {output}";
    }

    private static IEnumerable<string> Lines(MessageDescriptor message) =>
        message.Fields.InDeclarationOrder().Select(f => $"{message.FullName}.{f.Name} = {f.FieldNumber} {Type(f)}")
            .Concat(message.NestedTypes.Where(n => !message.Fields.InDeclarationOrder().Any(f => f.IsMap && f.MessageType == n))
                .SelectMany(Lines))
            .Concat(message.EnumTypes.SelectMany(Lines));

    private static IEnumerable<string> Lines(EnumDescriptor type) => type.Values.Select(v => $"{type.FullName}.{v.Name} = {v.Number}");

    private static string Type(FieldDescriptor field) =>
        field.IsMap ? $"map<{Type(field.MessageType.Fields[1])}, {Type(field.MessageType.Fields[2])}>"
        : (field.IsRepeated ? "repeated " : "") + field.FieldType switch
        {
            FieldType.Message => field.MessageType.Name,
            FieldType.Enum => field.EnumType.Name,
            _ => field.FieldType.ToString().ToLowerInvariant(),
        };
}

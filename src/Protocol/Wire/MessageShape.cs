using System.Collections.Concurrent;
using Google.Protobuf.Reflection;

namespace Ndif.Protocol.Wire;

/// <summary>
/// What the objects of a message type cost in memory, from the classes that protoc generates for C# on a 64-bit machine: an object header,
/// a pointer or a number for each field, and an object for each repeated field and map, even if it is empty.
/// </summary>
internal sealed class MessageShape
{
    private const int ObjectBytes = 24, FieldBytes = 8, RepeatedFieldBytes = 32, MapFieldBytes = 152;

    private static readonly ConcurrentDictionary<MessageDescriptor, MessageShape> _shapes = new();

    private readonly FieldShape?[] _fields;

    private MessageShape(MessageDescriptor type)
    {
        Name = type.FullName;
        IsMapEntry = type.GetOptions()?.MapEntry == true;
        IList<FieldDescriptor> fields = type.Fields.InFieldNumberOrder();
        _fields = new FieldShape?[fields.Count == 0 ? 0 : fields[^1].FieldNumber + 1];
        foreach ((int at, FieldDescriptor field) in fields.Index()) _fields[field.FieldNumber] = new FieldShape(field, at);
        Bytes = ObjectBytes + (type.Oneofs.Count * 2 * FieldBytes) // a value, and which one it is
            + fields.Sum(f => f.ContainingOneof is not null ? 0
                : FieldBytes + (f.IsMap ? MapFieldBytes : f.IsRepeated ? RepeatedFieldBytes : 0));
    }

    public string Name { get; }

    /// <summary>The bytes of an empty message.</summary>
    public int Bytes { get; }

    public bool IsMapEntry { get; }

    /// <summary>The type of the entry's value; null if it is not a message.</summary>
    public MessageShape? MapValue => IsMapEntry ? _fields[2]?.Message : null;

    public static MessageShape Of(MessageDescriptor type) => _shapes.GetOrAdd(type, added => new MessageShape(added));

    /// <summary>The field of a number; null if the type has none.</summary>
    public FieldShape? GetField(uint number) => number < (uint)_fields.Length ? _fields[number] : null;
}

/// <summary>A field of a message type.</summary>
/// <param name="index">The position among the fields of its type.</param>
internal sealed class FieldShape(FieldDescriptor descriptor, int index)
{
    private MessageShape? _message;

    public FieldType Type { get; } = descriptor.FieldType;

    public bool IsRepeated { get; } = descriptor.IsRepeated;

    /// <summary>One of several fields of which a message has at most one.</summary>
    public bool IsInOneof { get; } = descriptor.RealContainingOneof is not null;

    /// <summary>A bit for the field, to tell its first occurrence; fields from the 64th on share the last one.</summary>
    public ulong Bit { get; } = 1UL << Math.Min(index, 63);

    /// <summary>The type of a field of messages; null for other fields.</summary>
    public MessageShape? Message => descriptor.FieldType is FieldType.Message ? _message ??= MessageShape.Of(descriptor.MessageType) : null;

    /// <summary>The wire format of one value.</summary>
    public Google.Protobuf.WireFormat.WireType WireType { get; } = descriptor.FieldType switch
    {
        FieldType.String or FieldType.Bytes or FieldType.Message => Google.Protobuf.WireFormat.WireType.LengthDelimited,
        FieldType.Double or FieldType.Fixed64 or FieldType.SFixed64 => Google.Protobuf.WireFormat.WireType.Fixed64,
        FieldType.Float or FieldType.Fixed32 or FieldType.SFixed32 => Google.Protobuf.WireFormat.WireType.Fixed32,
        _ => Google.Protobuf.WireFormat.WireType.Varint,
    };

    /// <summary>The bytes of one number of a repeated field.</summary>
    public int ElementBytes { get; } = descriptor.FieldType switch
    {
        FieldType.Bool => 1,
        FieldType.Int32 or FieldType.UInt32 or FieldType.SInt32 or FieldType.Enum or FieldType.Float or FieldType.Fixed32
            or FieldType.SFixed32 => 4,
        _ => 8,
    };
}

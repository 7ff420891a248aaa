using Google.Protobuf.Reflection;
using Ndif.Protocol;

namespace Ndif.Server.Grpc;

/// <summary>Returns the public names of error codes, which are those of the proto: <c>UNKNOWN_BLOB</c>, not <c>UnknownBlob</c>.</summary>
internal static class ErrorCodeNames
{
    private static readonly EnumDescriptor _descriptor = JobReflection.Descriptor.EnumTypes.Single(type => type.Name == nameof(ErrorCode));

    public static string GetName(ErrorCode code) => _descriptor.FindValueByNumber((int)code)?.Name ?? ((int)code).ToString("0");
}

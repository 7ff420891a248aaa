namespace Ndif.Tests.Support;

/// <summary>The users of deploy/redis/users.acl, with passwords for a test.</summary>
public static class RedisUsers
{
    public const string ServicePassword = "service-password-of-a-test", OperatorPassword = "operator-password-of-a-test";

    /// <summary>Writes the ACL file for a redis-server into a folder, and returns its path.</summary>
    public static string Write(string folder)
    {
        string file = Path.Combine(folder, "users.acl");
        File.WriteAllText(file, File.ReadAllText(RepositoryFolder.PathOf("deploy/redis/users.acl"))
            .Replace("CHANGE-ME-operator", OperatorPassword, StringComparison.Ordinal)
            .Replace("CHANGE-ME-ndif", ServicePassword, StringComparison.Ordinal));
        return file;
    }

    /// <summary>The connection string of gateways and workers.</summary>
    public static string Service(string address) => $"{address},user=ndif,password={ServicePassword}";

    /// <summary>The connection string of an operator, who has all rights.</summary>
    public static string Operator(string address) => $"{address},user=operator,password={OperatorPassword},allowAdmin=true";
}
